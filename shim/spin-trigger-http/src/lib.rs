//! The HTTP trigger: accept, route, handle, answer, drain.
