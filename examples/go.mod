module github.com/antflow/antflow/examples

go 1.26

require github.com/antflow/antflow v0.0.0

replace github.com/antflow/antflow => ../
