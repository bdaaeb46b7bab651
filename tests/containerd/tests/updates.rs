//! Containers that are replaced behind a balancer that learns late which ones end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::load::{self, Load};
use harness::{Containerd, SpinApp, Task};

const IMAGE: &str = "test.local/updated:1";
const REPLICAS: u32 = 8;

/// How long the balancer still sends requests to a container after its SIGTERM.
const PROPAGATION: Duration = Duration::from_secs(1);

/// The addresses that the balancer knows.
#[derive(Clone, Default)]
struct Balancer {
    targets: Arc<Mutex<Vec<String>>>,
    next: Arc<AtomicUsize>,
}

impl Balancer {
    fn add(&self, task: &Task) {
        assert_eq!(task.get("/").status, 200);
        self.targets.lock().expect("no panic").push(address(task));
    }

    fn remove(&self, task: &Task) {
        self.targets.lock().expect("no panic").retain(|target| *target != address(task));
    }

    fn target(&self) -> String {
        let targets = self.targets.lock().expect("no panic");
        targets[self.next.fetch_add(1, Ordering::Relaxed) % targets.len()].clone()
    }
}

fn address(task: &Task) -> String {
    task.url("").trim_start_matches("http://").to_owned()
}

#[test]
fn a_rolling_update_loses_no_request() {
    let containerd = Containerd::v2();
    containerd.import(&SpinApp::http("hello-p2", "").plain(IMAGE));
    let start = |id: String| containerd.run(&id, IMAGE, &[]);
    let balancer = Balancer::default();
    let mut old: Vec<Task> = (0..REPLICAS).map(|index| start(format!("old-{index}"))).collect();
    old.iter().for_each(|task| balancer.add(task));
    // Two requests a second for each replica, half of them on kept connections.
    let loads = [true, false].map(|keep_alive| {
        let balancer = balancer.clone();
        let load = Load { rate: f64::from(REPLICAS), duration: PROPAGATION * (REPLICAS + 4), keep_alive };
        load::spawn(load, "/", move || balancer.target())
    });
    let new: Vec<Task> = (0..REPLICAS).map(|index| start(format!("new-{index}"))).collect();
    for (old, new) in old.iter_mut().zip(&new) {
        balancer.add(new);
        old.kill("SIGTERM");
        std::thread::sleep(PROPAGATION);
        balancer.remove(old);
    }
    for load in loads {
        let outcomes = load.join().expect("no panic");
        assert!(outcomes.lost.is_empty() && outcomes.answered == outcomes.sent, "{outcomes}");
    }
    old.iter_mut().for_each(|old| assert_eq!(old.wait(), Some(0)));
}
