//! Whole-system tests: which machine boots what, and what must then be seen.
