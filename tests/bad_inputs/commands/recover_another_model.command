recover plain.yaml --truth ../../../configs/tuned/h100.roofline_v1.json
