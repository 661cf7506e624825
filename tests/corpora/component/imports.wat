(component (import "fapo:tenant/log@0.1.0" (instance)) (import "wasi:io/error@0.2.6" (instance)) (instance $none) (export "fapo:tenant/chain@0.1.0" (instance $none)))
