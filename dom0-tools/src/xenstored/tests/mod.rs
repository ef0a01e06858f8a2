//! Tests of the store as its clients see it.

mod control;
mod domains;
mod model;
mod requests;
mod restart;
mod seeded;
mod transactions;
mod watches;
mod xsa;
