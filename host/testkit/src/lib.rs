//! Test support: guest builder, temporary tenants, faulty writers
