// Package errtext is about the texts of the module's errors, which start with
// a prefix and should say it once where they wrap one another.
package errtext

import (
	"reflect"
	"strings"
)

// Prefix starts the message of each error of the module.
const Prefix = "antflow: "

const module = "github.com/antflow/antflow"

// Bare is the text of err for a message that has the prefix already. Only
// errors whose type belongs to the module lose theirs.
func Bare(err error) string {
	text := err.Error()
	if !strings.HasPrefix(text, Prefix) {
		return text
	}
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if path := t.PkgPath(); path != module && !strings.HasPrefix(path, module+"/") {
		return text
	}
	return text[len(Prefix):]
}

// Clip is s, or as much of it as fits into n bytes, with a mark that it was cut.
func Clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const mark = "…"
	cut := n - len(mark)
	for cut > 0 && s[cut]&0xC0 == 0x80 { // amid a rune
		cut--
	}
	return s[:cut] + mark
}
