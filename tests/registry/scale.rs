//! Many actors in one registry (R15, R16).
