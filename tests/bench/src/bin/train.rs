//! `train DIR [--smoke]`: gives an instrumented shim (`scripts/profile.sh`) the work whose profile it is to write into that directory: starts, both forms of images,
//! compiling, requests of every kind, messages. What runs in none of it is taken for rare when the shim is built by the profile.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use harness::app::cached;
use harness::process::{run, said};
use harness::{Containerd, Redis, SpinApp, image};

/// The guest whose speed counts most, in both forms of reuse, and its like of WASI 0.3.
const HELLO: [(&str, &str); 3] = [("hello-p2", "1"), ("hello-p2", "128"), ("hello-p3", "128")];
const ANYWHERE: &str = "allowed_outbound_hosts = [\"*://127.0.0.1:*\"]";
const PYTHON: &str = "hello-python";

/// How much work.
struct Amount {
    /// To the hello guests.
    connections: &'static [u32],
    /// Of one run of wrk, in its own words.
    duration: &'static str,
    starts: usize,
    messages: &'static str,
}

const ENOUGH: Amount = Amount { connections: &[1, 32, 128, 512], duration: "-d2s", starts: 10, messages: "30000" };
/// Just enough to see that each kind can be done.
const SMOKE: Amount = Amount { connections: &[1], duration: "-d1s", starts: 1, messages: "1000" };

/// The node, and where profiles go, which containers see under the same path.
struct Trainer {
    containerd: Containerd,
    mount: String,
    amount: Amount,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().expect("usage: train DIR [--smoke]");
    let amount = if arguments.next().is_some_and(|word| word == "--smoke") { SMOKE } else { ENOUGH };
    let mount = format!("type=bind,src={dir},dst={dir},options=rbind:rw");
    let trainer = Trainer { containerd: Containerd::v2(), mount, amount };
    for (guest, reuse) in HELLO {
        trainer.serve(&SpinApp::http(guest, ""), reuse, trainer.amount.connections, &["/"]);
    }
    trainer.serve_what_apps_do();
    trainer.start();
    trainer.start_in_vain();
    trainer.compile();
    trainer.take_messages();
}

impl Trainer {
    /// Runs an app's image until `work` is done, and lets it end by itself: one that is killed writes no profile.
    fn run(&self, image: &str, flags: &[&str], work: impl FnOnce(&str)) {
        let mut task = self.containerd.run("train", image, &[&["--mount", &self.mount], flags].concat());
        work(&task.url(""));
        task.kill("TERM");
        assert_eq!(task.wait(), Some(0), "{}", task.said());
    }

    /// Keeps so many connections busy with each path, in which `SELF` is the app's own address.
    fn serve(&self, app: &SpinApp, reuse: &str, connections: &[u32], paths: &[&str]) {
        self.containerd.import(&app.plain("train.local/serve:1"));
        let reuse = format!("SPIN_HTTP_INSTANCE_REUSE={reuse}");
        self.run("train.local/serve:1", &["--env", &reuse], |url| {
            first_answer(url);
            for (path, connections) in paths.iter().flat_map(|path| connections.iter().map(move |count| (path, count))) {
                let target = format!("{url}{}", path.replace("SELF", url));
                run(Command::new("wrk").args(["-t1", &format!("-c{connections}"), self.amount.duration, &target]));
            }
        });
    }

    /// Host interfaces, files, outbound requests, long answers.
    fn serve_what_apps_do(&self) {
        let redis = Redis::start();
        redis.cli(&["set", "outbound", "here"]);
        let work: [(&str, &str, &[&str]); 5] = [
            ("probe-http", "files = [\"*.toml\"]", &["/", "/?stream=200000", "/?read=/spin.toml", "/?stderr=line"]),
            ("outbound", ANYWHERE, &["/fetch?SELF/", &format!("/redis?{}", redis.address())]),
            ("outbound-p3", ANYWHERE, &["/fetch?SELF/", &format!("/redis?{}", redis.address())]),
            ("kv", "key_value_stores = [\"default\"]", &["/", "/fruit"]),
            ("kv-p3", "key_value_stores = [\"default\"]", &["/", "/fruit"]),
        ];
        for (guest, table, paths) in work {
            self.serve(&SpinApp::http(guest, table), "1", &[32], paths);
        }
    }

    /// Images seen before, in both forms.
    fn start(&self) {
        let app = SpinApp::http("hello-p2", "");
        self.containerd.import(&app.plain("train.local/plain:1"));
        self.containerd.import(&app.artifact("train.local/artifact:1"));
        for image in ["train.local/plain:1", "train.local/artifact:1"].repeat(self.amount.starts) {
            self.run(image, &[], first_answer);
        }
    }

    /// A program that can't be executed: what a container's process does before an execution is written only where it fails.
    fn start_in_vain(&self) {
        let files = tempfile::tempdir().expect("a temporary directory");
        let program = files.path().join("text");
        fs::write(&program, "no program").expect("the file can be written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("the file is ours");
        let archive = self.containerd.dir().join("text.tar");
        image::from_scratch(files.path(), "train.local/text:1", &archive);
        self.containerd.import(&archive);
        let run =
            ["run", "--rm", "--runtime", "io.containerd.spin.v2", "--mount", &self.mount, "train.local/text:1", "train", "/text"];
        let output = self.containerd.ctr(&run);
        assert!(said(&output).contains("exec /text:"), "{}", said(&output));
    }

    /// Images whose code the node has not.
    fn compile(&self) {
        for guest in ["hello-p2", PYTHON] {
            cached(guest).iter().for_each(|file| std::fs::remove_file(file).expect("it is there and ours"));
            self.containerd.import(&SpinApp::http(guest, "").plain("train.local/new:1"));
            self.run("train.local/new:1", &[], first_answer);
        }
    }

    fn take_messages(&self) {
        let redis = Redis::start();
        let (address, port) = (redis.address(), redis.port().to_string());
        let app = SpinApp::new(&format!(
            "spin_manifest_version = 2\n[application]\nname = \"count\"\n[application.trigger.redis]\naddress = \"{address}\"\n\
             [[trigger.redis]]\nchannel = \"in\"\ncomponent = \"count\"\n\
             [component.count]\nsource = \"redis-count.wasm\"\nallowed_outbound_hosts = [\"{address}\"]\n"
        ));
        self.containerd.import(&app.guest("redis-count").plain("train.local/redis:1"));
        self.run("train.local/redis:1", &[], |_| {
            redis.wait_for_subscribers("in", 1);
            let publish = ["-n", self.amount.messages, "-c", "1", "-P", "100", "PUBLISH", "in", &address];
            run(Command::new("redis-benchmark").args(["-p", &port]).args(publish));
            harness::wait_for("all messages", 60, || match redis.cli(&["get", "handled"]) {
                handled if handled == self.amount.messages => Ok(()),
                handled => Err(handled),
            });
        });
    }
}

fn first_answer(url: &str) {
    harness::wait_for("the app", 60, || harness::http::get(url));
}
