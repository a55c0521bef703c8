//! Every kernel against its plain twin and against an independent witness.

mod dense_scores;
mod distance;
mod float_print;
mod float_scan;
mod numbers;
