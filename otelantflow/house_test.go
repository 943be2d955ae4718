package otelantflow_test

import (
	"go/build"
	"slices"
	"strings"
	"testing"
)

// Who uses this package chooses the SDK: it needs the API alone.
func TestImports(t *testing.T) {
	pkg, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	const api = "go.opentelemetry.io/otel"
	allowed := []string{"github.com/antflow/antflow", api, api + "/attribute", api + "/codes", api + "/metric", api + "/trace"}
	for _, path := range pkg.Imports {
		if strings.Contains(path, ".") && !slices.Contains(allowed, path) {
			t.Errorf("it imports %s", path)
		}
	}
	if !slices.Contains(pkg.Imports, api+"/metric") {
		t.Error("the imports were not found")
	}
}
