module github.com/antflow/antflow/examples

go 1.26.0

require (
	github.com/antflow/antflow v0.0.0
	golang.org/x/sync v0.24.0
	golang.org/x/time v0.16.0
)

replace github.com/antflow/antflow => ../
