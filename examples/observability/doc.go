// Package observability has the snippets of docs/observability.md as examples
// that run.
package observability
