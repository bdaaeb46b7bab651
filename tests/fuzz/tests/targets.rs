//! Every target with its kept inputs, and with mutations of them.

use fuzz::{Mutator, TARGETS, Target, corpus};

/// Changed on purpose only: a failure is found again with the same inputs.
const SEED: u64 = 0x5350_494e;

/// Runs a target with all kept inputs, then with mutations of these. A failure names the input.
fn run(name: &str) {
    let target = Target::named(name).expect("a target");
    let inputs = corpus::inputs(target).expect("a corpus");
    let accepted = inputs.iter().filter(|input| check(target, &input.bytes, &input.name)).count();
    assert!(accepted > 0 && accepted < inputs.len(), "{accepted} of {} kept inputs are accepted", inputs.len());
    let (bytes, words) = (inputs.into_iter().map(|input| input.bytes).collect::<Vec<_>>(), corpus::words(target).expect("words"));
    let mut mutator = Mutator::new(&bytes, &words, SEED);
    for number in 0..target.mutations {
        check(target, &mutator.mutate(), &format!("mutation {number}"));
    }
}

/// Whether the target accepts the input.
fn check(target: &Target, input: &[u8], name: &str) -> bool {
    std::panic::catch_unwind(|| target.run(input)).unwrap_or_else(|_| {
        let kept = std::env::temp_dir().join(format!("fuzz-{}", target.name));
        std::fs::write(&kept, input).expect("the input is kept");
        panic!("{name} of {} fails; it is in {}", target.name, kept.display());
    })
}

/// A test for each target, so that they run side by side.
macro_rules! targets {
    ($($name:ident: $target:literal,)*) => {
        $(#[test]
        fn $name() {
            run($target);
        })*

        #[test]
        fn every_target_is_run_and_every_kept_input_belongs_to_one() {
            let run = [$($target),*];
            assert!(TARGETS.iter().map(|target| target.name).eq(run));
            let kept = std::fs::read_dir(corpus::directory("corpus")).expect("a corpus");
            assert!(kept.map(|entry| entry.expect("an entry").file_name()).all(|name| run.iter().any(|target| name == *target)));
        }
    };
}

targets! {
    manifests_lock_to_apps_that_read_back: "manifest",
    locked_apps_read_back: "locked_app",
    archives_make_the_wanted_files_or_none: "archive",
    any_output_of_the_unpacker_makes_the_wanted_files_or_none: "archive_frames",
    images_have_what_their_digests_say: "image",
    routes_match_their_own_paths: "routes",
    entries_allow_the_hosts_that_they_name: "allowed_hosts",
    templates_read_back: "template",
    redis_replies_give_no_more_than_was_sent: "redis_reply",
    plans_read_back: "plan",
    orders_read_back: "order",
    reports_read_back_and_take_one_line: "report",
}
