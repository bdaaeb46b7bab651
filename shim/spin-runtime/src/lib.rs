//! The engine, precompiled components, host interfaces: instantiate(component).
