capacity --config ../../../configs/tuned/h100.physics.json --like apart.json
