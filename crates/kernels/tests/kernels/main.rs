//! Every kernel against its plain twin and against an independent witness.

mod byte_split;
mod codes;
mod distance;
mod float_print;
mod float_scan;
mod numbers;
mod screen;
