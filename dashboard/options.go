package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/errtext"
	"github.com/antflow/antflow/pipeline"
)

// An Option gives a [Handler] a source or a setting.
type Option interface{ apply(*settings) }

type option func(*settings)

func (o option) apply(s *settings) { o(s) }

// settings are what the options of a Handler say.
type settings struct {
	title   string
	sources []source
	allow   func(*http.Request) bool
	hosts   []string
	format  func(any) string
}

// Executor shows the tasks of e. It is called what [antflow.ExecutorName] says,
// or "executor 1", "executor 2" and so on. A nil e panics.
func Executor(e *antflow.Executor) Option {
	must(e != nil, "Executor(nil): the executor must not be nil")
	return option(func(s *settings) {
		name := e.Snapshot().Executor
		if name == "" {
			name = fmt.Sprintf("executor %d", s.count("executor")+1)
		}
		s.add(&executorSource{label: label{"executor", name}, e: e})
	})
}

// Pipeline shows the run that m looks into: that of [pipeline.Start], which has
// a monitor embedded, or the one that [pipeline.WithMonitor] gave m. An empty
// name is "pipeline 1", "pipeline 2" and so on. A nil m panics.
func Pipeline(name string, m *pipeline.Monitor) Option {
	must(m != nil, "Pipeline(%q, nil): the monitor must not be nil", name)
	return option(func(s *settings) {
		if name == "" {
			name = fmt.Sprintf("pipeline %d", s.count("pipeline")+1)
		}
		s.add(&pipelineSource{label: label{"pipeline", name}, m: m})
	})
}

// Cluster shows a cluster across its processes: its queues, its backlog and its
// workers, as far as status tells, which is that of a client of package cluster.
// What the client itself has submitted is shown by [Executor]:
//
//	dashboard.Handler(dashboard.Executor(client.Executor()), dashboard.Cluster("", client.Status))
//
// An empty name is "cluster 1", "cluster 2" and so on. status is called once a
// second while somebody looks, and by requests for figures; one call at a time,
// with a context of 2 seconds. One that takes longer, fails or panics is shown as
// that, and holds up no other source. A nil status panics.
func Cluster(name string, status func(context.Context) (antflow.ClusterStatus, error)) Option {
	must(status != nil, "Cluster(%q, nil): the function must not be nil", name)
	return option(func(s *settings) {
		if name == "" {
			name = fmt.Sprintf("cluster %d", s.count("cluster")+1)
		}
		s.add(&clusterSource{label: label{"cluster", name}, inquirer: inquirer{status: status}})
	})
}

// Title is the title of the page, up to 128 bytes of it; the default is "antflow".
func Title(text string) Option {
	return option(func(s *settings) { s.title = errtext.Clip(text, mostName) })
}

// AllowActions lets those who may see the dashboard cancel tasks, resize and
// drain, as far as allow says so, which is asked for each action and must be
// safe for concurrent use. Without it nobody can change anything. An allow that
// returns true for all requests leaves that to whoever reaches the handler, so
// put authentication before it. A nil allow panics.
func AllowActions(allow func(*http.Request) bool) Option {
	must(allow != nil, "AllowActions(nil): the function must not be nil")
	return option(func(s *settings) { s.allow = allow })
}

// Hosts names further values of the Host header that are served where a
// connection comes in on a loopback address. There all but localhost, its
// subdomains and loopback addresses are refused, so that no web site can have a
// browser on this machine read the dashboard by a name of its own. Behind a
// reverse proxy on the same machine, name the public host. A name has no port,
// and covers all of them. An empty name panics.
func Hosts(names ...string) Option {
	names = slices.Clone(names)
	for i, name := range names {
		must(hostOf(name) != "", "Hosts: the name at index %d is empty", i)
		names[i] = hostOf(name)
	}
	return option(func(s *settings) { s.hosts = append(s.hosts, names...) })
}

// FormatInput shows the inputs of failed items of pipelines, as far as they are
// kept, as what format makes of them; up to 1 KiB of that. Without it no input
// is shown. format must be safe for concurrent use; what it panics with is shown
// in place of its text. A nil format panics.
func FormatInput(format func(input any) string) Option {
	must(format != nil, "FormatInput(nil): the function must not be nil")
	return option(func(s *settings) { s.format = format })
}

// count is how many sources of a kind there are.
func (s *settings) count(kind string) int {
	n := 0
	for _, src := range s.sources {
		if src.about().Kind == kind {
			n++
		}
	}
	return n
}

func (s *settings) add(src source) { s.sources = append(s.sources, src) }

// nameApart gives each source a name of its own, for those who tell them apart
// by that: metrics with the same labels twice are not valid.
func (s *settings) nameApart() {
	names := make(distinct)
	for _, src := range s.sources {
		src.rename(names.name(src.about().Name))
	}
}

// must panics with the package's prefix when the caller broke a rule of the
// API; the message names the value.
func must(ok bool, format string, args ...any) {
	if !ok {
		panic("antflow: dashboard: " + fmt.Sprintf(format, args...))
	}
}

// hostOf is the host of a Host header in the form that hosts are compared in:
// without the port, the brackets of IPv6 and the dot at the end, in lower case.
func hostOf(header string) string {
	host, port, found := header, "", false
	if i := strings.LastIndexByte(header, ':'); i >= 0 {
		host, port, found = header[:i], header[i+1:], true
	}
	if found && (strings.Contains(port, "]") || strings.Contains(host, ":") && !strings.HasPrefix(host, "[")) {
		host = header // the colon is one of an IPv6 address
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
