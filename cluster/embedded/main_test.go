package embedded_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain has more tests run at a time than there are processors: most of what
// they do is wait.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		flag.Set("test.parallel", "6")
	}
	os.Exit(m.Run())
}
