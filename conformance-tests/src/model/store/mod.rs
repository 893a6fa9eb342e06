//! Random sequences for a state store.
