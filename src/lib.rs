//! A lock of its own for every Diesel model.
