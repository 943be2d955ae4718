package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"sync"
	"time"
)

//go:embed web
var web embed.FS

// A file is a part of the page.
type file struct {
	name, kind, tag string
	data            []byte
}

var kinds = map[string]string{
	".html":    "text/html; charset=utf-8",
	".js":      "text/javascript; charset=utf-8",
	".css":     "text/css; charset=utf-8",
	".svg":     "image/svg+xml",
	".LICENSE": "text/plain; charset=utf-8", // of what is vendored
}

// files has the embedded files by name; the page itself is the one without.
var files = sync.OnceValue(func() map[string]*file {
	found := make(map[string]*file)
	entries, err := fs.ReadDir(web, "web")
	if err != nil {
		panic(err) // it is embedded
	}
	for _, entry := range entries {
		name := entry.Name()
		kind := kinds[path.Ext(name)]
		if kind == "" || entry.IsDir() {
			continue
		}
		data, err := web.ReadFile("web/" + name)
		if err != nil {
			panic(err)
		}
		if name == "index.html" {
			name = ""
		}
		sum := sha256.Sum256(data)
		found[name] = &file{name: name, kind: kind, tag: `"` + hex.EncodeToString(sum[:8]) + `"`, data: data}
	}
	return found
})

// serve answers with the file. Browsers keep it, but ask whether it is still
// the same: another version of the program may serve another one there.
func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Etag", f.tag)
	h.Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.data))
}
