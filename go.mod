module github.com/antflow/antflow

go 1.26.0
