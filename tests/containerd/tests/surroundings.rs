//! What a pod gives its app: environment, runtime config, volumes.

use std::cell::Cell;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use containerd_tests::container;
use harness::http::{Answer, get, put};
use harness::shim::{Bundle, program};
use harness::{Containerd, SpinApp, wait_for};

/// An app of the guest `vars` with the variables `data` and `required`, of which only the first has a default value.
fn vars() -> SpinApp {
    SpinApp::http(
        "vars",
        "variables = { data = \"{{ data }}\", required = \"{{ required }}\" }\n[variables]\n\
                           data = { default = \"\" }\nrequired = { required = true }",
    )
}

/// The answer to `GET url`, waited for until the app listens.
fn answer(url: &str) -> Answer {
    wait_for(url, 60, || get(url))
}

#[test]
fn environment_beyond_the_limits_of_execve_reaches_an_app() {
    let containerd = Containerd::v2();
    let address = container(&containerd, "large", &vars().plain("test.local/large:1"), "/");
    // The kernel's limits for an execve are 128 KiB for a variable, and a quarter of the stack's limit for all of them.
    let fillers = (0..64).map(|number| format!("FILLER_{number}={}", "y".repeat(100_000)));
    let variables = [format!("SPIN_VARIABLE_DATA={}", "x".repeat(200_000)), "SPIN_VARIABLE_REQUIRED=there".to_owned()];
    let bundle = Bundle::new(&containerd, "large").edited(|spec| {
        let env = spec["process"]["env"].as_array_mut().expect("there is an environment");
        env.extend(variables.into_iter().chain(fillers).map(Into::into));
    });
    let _task = bundle.run(&program());
    assert_eq!(answer(&format!("http://{address}/data")).body, "x".repeat(200_000));
    assert_eq!(answer(&format!("http://{address}/required")).body, "there");
}

#[test]
fn last_value_of_an_environment_variable_counts() {
    let containerd = Containerd::v2();
    let address = container(&containerd, "twice", &vars().plain("test.local/twice:1"), "/");
    let bundle = Bundle::new(&containerd, "twice").edited(|spec| {
        let env = spec["process"]["env"].as_array_mut().expect("there is an environment");
        env.extend(["SPIN_VARIABLE_REQUIRED=first", "SPIN_VARIABLE_REQUIRED=last"].map(Into::into));
    });
    let _task = bundle.run(&program());
    assert_eq!(answer(&format!("http://{address}/required")).body, "last");
}

/// An app of the guest `kv`, which keeps its data in the default store.
fn kv() -> SpinApp {
    SpinApp::http("kv", "key_value_stores = [\"default\"]")
}

/// `ctr`'s flags that mount a directory or a file of the node.
fn volume(source: &Path, destination: &str, access: &str) -> [String; 2] {
    let source = source.display();
    ["--mount".to_owned(), format!("type=bind,src={source},dst={destination},options=rbind:{access}")]
}

fn flags(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

/// A runtime config that gives the variable `required` a value.
const CONFIG: &str = "[[variables_provider]]\ntype = \"static\"\nvalues = { required = \"configured\" }\n";

/// A volume as the kubelet writes it for a ConfigMap: names are links by way of `..data`, which leads to another directory after
/// each change. The files are `key` and `deep/key`.
struct ConfigMap {
    volume: tempfile::TempDir,
    changes: Cell<u32>,
}

impl ConfigMap {
    fn new(value: &str) -> Self {
        let map = Self { volume: tempfile::tempdir().expect("a directory"), changes: Cell::default() };
        fs::set_permissions(map.path(), Permissions::from_mode(0o755)).expect("set");
        ["key", "deep", "mine.toml"].iter().for_each(|name| {
            symlink(Path::new("..data").join(name), map.path().join(name)).expect("linked");
        });
        map.set(value);
        map
    }

    fn path(&self) -> &Path {
        self.volume.path()
    }

    fn set(&self, value: &str) {
        let before = format!("..{}", self.changes.get());
        self.changes.set(self.changes.get() + 1);
        let now = format!("..{}", self.changes.get());
        fs::create_dir_all(self.path().join(&now).join("deep")).expect("made");
        for name in ["key", "deep/key", "mine.toml"] {
            fs::write(self.path().join(&now).join(name), value).expect("written");
        }
        symlink(&now, self.path().join("..data_tmp")).expect("linked");
        fs::rename(self.path().join("..data_tmp"), self.path().join("..data")).expect("renamed");
        let _none_before_the_first = fs::remove_dir_all(self.path().join(before));
    }
}

/// An app of the guest `probe-http` that sees what these `files` name.
fn with_files(files: &str) -> SpinApp {
    SpinApp::http("probe-http", &format!("files = [{files}]"))
}

#[test]
fn volume_that_files_name_is_what_the_guest_sees_and_its_changes_show() {
    let files = "{ source = \"mount\", destination = \"/mount\" }, { source = \"mount/deep\", destination = \"/in/deep\" }";
    let without = with_files(files);
    let with = with_files(files).file("mount/of-the-image", b"");
    for (id, app) in [("without", without), ("with", with)] {
        let (containerd, map) = (Containerd::v2(), ConfigMap::new("old"));
        containerd.import(&app.plain("test.local/volume:1"));
        let task = containerd.run(id, "test.local/volume:1", &flags(&volume(map.path(), "/mount", "ro")));
        let read = || ["/mount/key", "/mount/deep/key", "/in/deep/key"].map(|path| task.get(&format!("/?read={path}")).body);
        assert_eq!(read(), ["old"; 3], "{id}");
        map.set("new");
        assert_eq!(read(), ["new"; 3], "{id}");
        assert_eq!(task.get("/?list=/mount").body, "..2\n..data\ndeep\nkey\nmine.toml", "{id}");
    }
}

#[test]
fn volume_below_a_directory_that_files_name_is_seen_and_is_not_written() {
    let (containerd, directory) = (Containerd::v2(), tempfile::tempdir().expect("a directory"));
    fs::write(directory.path().join("key"), "value").expect("written");
    let app = with_files("{ source = \"site\", destination = \"/\" }").file("site/page", b"page");
    containerd.import(&app.plain("test.local/below:1"));
    let task = containerd.run("below", "test.local/below:1", &flags(&volume(directory.path(), "/site/volume", "rw")));
    assert_eq!(task.get("/?read=/page").body, "page");
    assert_eq!(task.get("/?read=/volume/key").body, "value");
    assert_eq!(task.get("/?write=/volume/new").status, 500);
    assert!(!directory.path().join("new").exists());
}

#[test]
fn links_in_a_volume_do_not_lead_out_of_it() {
    let (containerd, directory) = (Containerd::v2(), tempfile::tempdir().expect("a directory"));
    symlink("/proc/self", directory.path().join("process")).expect("linked");
    symlink("../spin.toml", directory.path().join("manifest")).expect("linked");
    let app = with_files("{ source = \"mount\", destination = \"/mount\" }");
    containerd.import(&app.plain("test.local/links:1"));
    let mounted = volume(directory.path(), "/mount", "ro");
    let task = containerd.run("links", "test.local/links:1", &flags(&mounted));
    for path in ["/mount/process/maps", "/mount/manifest", "/mount/../spin.toml"] {
        assert_eq!(task.get(&format!("/?read={path}")).status, 500, "{path}");
    }
    let app = with_files("{ source = \"mount/process\", destination = \"/\" }");
    let (code, said) = containerd.run_to_end("process", &app, &flags(&mounted));
    assert!(code == Some(66) && said.contains("can't see /mount/process of a volume"), "{code:?}: {said}");
}

#[test]
fn file_of_a_volume_that_files_name_ends_the_app_with_the_reason() {
    let (containerd, map) = (Containerd::v2(), ConfigMap::new("value"));
    let mounted = volume(map.path(), "/mount", "ro");
    for (id, files, code, reason) in [
        ("file", "{ source = \"mount/key\", destination = \"/key\" }", 66, "can't see /mount/key of a volume: Not a directory"),
        ("glob", "\"mount/*.toml\"", 64, "\"mount/*.toml\": a component can see whole directories of the volume at /mount"),
    ] {
        let (ended, said) = containerd.run_to_end(id, &with_files(files), &flags(&mounted));
        assert!(ended == Some(code) && said.contains(reason), "{ended:?}: {said}");
    }
}

#[test]
fn state_directory_of_the_image_is_left_alone() {
    let containerd = Containerd::v2();
    let task = containerd.serve("kept", &kv().file(".spin/of-the-image", b""));
    task.get("/");
    assert_eq!(put(&task.url("/fruit"), "apple").map(|answer| answer.status), Ok(204));
    assert_eq!(task.get("/fruit").body, "apple");
    let files = fs::read_dir(format!("/proc/{}/root/.spin", task.pid())).expect("the image has it").flatten();
    assert_eq!(files.map(|file| file.file_name()).collect::<Vec<_>>(), ["of-the-image"]);
}

#[test]
fn state_directory_that_cannot_be_written_ends_the_app_with_the_reason() {
    let (containerd, directory) = (Containerd::v2(), tempfile::tempdir().expect("a directory"));
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("set");
    let read_only = volume(directory.path(), "/.spin", "ro").to_vec();
    let (code, said) = containerd.run_to_end("read-only", &kv(), &flags(&read_only));
    assert!(code == Some(66) && said.contains("/.spin: Read-only file system"), "{code:?}: {said}");
    let of_root = [&volume(directory.path(), "/.spin", "rw")[..], &["--user".to_owned(), "1000:1000".to_owned()]].concat();
    let (code, said) = containerd.run_to_end("of-root", &kv(), &flags(&of_root));
    let reason = "the key-value store \"default\" of component \"main\" can't be written as user 1000: /.spin: Permission denied";
    assert!(code == Some(66) && said.contains(reason), "{code:?}: {said}");
}

#[test]
fn runtime_config_of_the_image_is_not_read_and_the_log_says_so() {
    let containerd = Containerd::v2();
    let app = SpinApp::http("hello-p2", "").file("runtime-config.toml", b"no_such_key = 1");
    let task = containerd.serve("image-config", &app);
    assert_eq!(task.get("/").status, 200);
    task.wait_to_say(&["/runtime-config.toml is not read, because it is the image's"]);
}

#[test]
fn runtime_config_is_read_from_a_volume_at_its_usual_path_or_where_the_setting_says() {
    let (containerd, map) = (Containerd::v2(), ConfigMap::new(CONFIG));
    containerd.import(&vars().plain("test.local/config:1"));
    // By `subPath`, for which the kubelet mounts the file itself.
    let usual = volume(&map.path().join("mine.toml"), "/runtime-config.toml", "ro").to_vec();
    let setting = ["--env".to_owned(), "SPIN_RUNTIME_CONFIG_FILE=/config/mine.toml".to_owned()];
    let chosen = [&volume(map.path(), "/config", "ro")[..], &setting].concat();
    for (id, options) in [("usual", usual), ("chosen", chosen)] {
        let task = containerd.run(id, "test.local/config:1", &flags(&options));
        assert_eq!(task.get("/required").body, "configured", "{id}");
    }
}

#[test]
fn runtime_config_setting_that_names_no_file_in_a_volume_ends_the_app() {
    let containerd = Containerd::v2();
    let app = SpinApp::http("hello-p2", "").file("config/mine.toml", CONFIG.as_bytes());
    let (code, said) = containerd.run_to_end("outside", &app, &["--env", "SPIN_RUNTIME_CONFIG_FILE=/config/mine.toml"]);
    assert!(code == Some(66) && said.contains("is not an absolute path in a volume of the pod"), "{code:?}: {said}");
}
