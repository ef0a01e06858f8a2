//! Dispatch and multicall.
