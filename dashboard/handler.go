package dashboard

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/antflow/antflow/internal/errtext"
)

// Handler returns a handler that shows executors, pipelines and clusters as a web page:
//
//	http.Handle("/debug/antflow/", dashboard.Handler(dashboard.Executor(e)))
//
// It may be mounted under any prefix, with or without [http.StripPrefix]. From
// then on the executors keep the figures of [antflow.Executor.Measure], for
// good; what goes beyond them is only collected while somebody looks. The
// package comment tells what is served, and to whom. The handler is safe for
// concurrent use; to make it does not block.
//
// A handler without a source and a nil option panic.
func Handler(opts ...Option) http.Handler {
	s := settings{title: "antflow"}
	for i, o := range opts {
		must(o != nil, "Handler: nil Option at index %d", i)
		o.apply(&s)
	}
	must(len(s.sources) > 0, "Handler: there is nothing to show; give it an Executor, a Pipeline or a Cluster")
	s.nameApart()
	h := &handler{settings: s, boot: randomID(), hub: newHub(s.sources)}
	h.hub.greeting = h.greeting
	for _, src := range s.sources {
		src.begin(&h.settings)
	}
	return h
}

// A handler is the HTTP side of a dashboard. Nothing of it changes but the hub.
type handler struct {
	settings
	boot  string // tells it from the handler that was there before a restart
	guard http.CrossOriginProtection
	hub   *hub
}

// pages are the resources that aren't files.
var pages = map[string]func(*handler, http.ResponseWriter, *http.Request){
	"events":        (*handler).serveEvents,
	"snapshot.json": (*handler).serveSnapshot,
	"tasks.json":    (*handler).serveTasks,
	"task.json":     (*handler).serveTask,
	"failures.json": (*handler).serveFailures,
	"metrics":       (*handler).serveMetrics,
	"action":        (*handler).serveAction,
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	if !h.servesHost(r) {
		fail(w, http.StatusForbidden, "the host %q is not served on a loopback address; name it with dashboard.Hosts",
			errtext.Clip(r.Host, mostName))
		return
	}
	name, mount := route(r)
	if mount != "" {
		w.Header().Set("Location", mount)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	serve, file := pages[name], files()[name]
	switch {
	case serve == nil && file == nil:
		fail(w, http.StatusNotFound, "there is no page %q", errtext.Clip(name, mostName))
	case name == "action" && r.Method != http.MethodPost:
		refuseMethod(w, r, "POST")
	case name != "action" && r.Method != http.MethodGet && r.Method != http.MethodHead:
		refuseMethod(w, r, "GET, HEAD")
	case file != nil:
		file.serve(w, r)
	default:
		serve(h, w, r)
	}
}

// route tells which page a request is for: the last element of its path, which
// is the same under each prefix. A request for the place where the handler is
// mounted, but without the slash at the end, has to be sent on to mount, so that
// what the page refers to is found below it.
//
// With http.StripPrefix that request has no path left. Else it is known by the
// pattern of the http.ServeMux, which is of this path alone.
func route(r *http.Request) (name, mount string) {
	dir, name := path.Split(r.URL.Path)
	if name == "index.html" {
		return "", ""
	}
	if dir == "" && name == "" || name != "" && exact(r.Pattern) && pages[name] == nil && files()[name] == nil {
		original := r.URL.EscapedPath()
		if u, err := url.ParseRequestURI(r.RequestURI); err == nil {
			original = u.EscapedPath()
		}
		if last := original[strings.LastIndexByte(original, '/')+1:]; last != "" {
			mount = "./" + last + "/"
			if r.URL.RawQuery != "" {
				mount += "?" + r.URL.RawQuery
			}
		}
	}
	return name, mount
}

// exact reports whether the pattern is one of a single path.
func exact(pattern string) bool {
	return pattern != "" && !strings.ContainsRune("/}*", rune(pattern[len(pattern)-1]))
}
