(component (core module (func)) (instance $none) (export "fapo:tenant/scorer@0.1.0" (instance $none)))
