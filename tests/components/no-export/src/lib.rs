//! A component that no trigger can call: it exports nothing.
#[unsafe(no_mangle)]
extern "C" fn nobody_calls_this() {
    println!("never printed");
}
