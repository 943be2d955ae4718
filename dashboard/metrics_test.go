package dashboard_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/dashboard"
	"github.com/antflow/antflow/pipeline"
)

// A sample is one line of metrics.
type sample struct {
	name   string
	labels map[string]string
	value  float64
}

// metrics are samples by their names and labels as they are written.
type metrics map[string]sample

var (
	helpLine   = regexp.MustCompile(`^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$`)
	typeLine   = regexp.MustCompile(`^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)$`)
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ {}]+)$`)
	labelPart  = regexp.MustCompile(`^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)`)
)

// parseMetrics reads the text format 0.0.4 and takes nothing that isn't
// written as the format says: each family once, with HELP and TYPE before its
// samples, no labels twice, and histograms that add up.
func parseMetrics(t *testing.T, text string) metrics {
	t.Helper()
	if !utf8.ValidString(text) || !strings.HasSuffix(text, "\n") {
		t.Fatal("the text is no UTF-8, or the last line has no end")
	}
	found := make(metrics)
	kinds := make(map[string]string)
	family, help := "", ""
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		fail := func(what string) { t.Helper(); t.Fatalf("line %d: %s: %.300s", i+1, what, line) }
		if m := helpLine.FindStringSubmatch(line); m != nil {
			help = m[1]
			continue
		}
		if m := typeLine.FindStringSubmatch(line); m != nil {
			if m[1] != help || kinds[m[1]] != "" {
				fail("a TYPE without its HELP, or for the second time")
			}
			family, kinds[m[1]] = m[1], m[2]
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			fail("no sample")
		}
		base := m[1]
		if kinds[family] == "histogram" {
			base = regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(base, "")
		}
		if base != family || kinds[family] == "counter" != strings.HasSuffix(base, "_total") {
			fail("a sample of another family, or a counter by the wrong name")
		}
		s := sample{name: m[1], labels: make(map[string]string)}
		for rest := m[2]; rest != ""; {
			l := labelPart.FindStringSubmatch(rest)
			if l == nil || l[3] == "," && len(l[0]) == len(rest) {
				fail("no label")
			}
			if _, twice := s.labels[l[1]]; twice {
				fail("a label twice")
			}
			s.labels[l[1]] = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n").Replace(l[2])
			rest = rest[len(l[0]):]
		}
		var err error
		if s.value, err = strconv.ParseFloat(m[3], 64); err != nil || math.IsNaN(s.value) || s.value < 0 {
			fail("no number")
		}
		key := m[1] + "{" + m[2] + "}"
		if _, twice := found[key]; twice {
			fail("a sample twice")
		}
		found[key] = s
	}
	checkHistograms(t, found, kinds)
	return found
}

// checkHistograms checks that buckets grow up to +Inf, which is the count.
func checkHistograms(t *testing.T, found metrics, kinds map[string]string) {
	t.Helper()
	bounds := []string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "60", "300", "+Inf"}
	for key, s := range found {
		name, is := strings.CutSuffix(s.name, "_count")
		if !is || kinds[name] != "histogram" {
			continue
		}
		labels := strings.TrimSuffix(strings.TrimPrefix(key, s.name+"{"), "}")
		last := 0.0
		for _, le := range bounds {
			b, ok := found[fmt.Sprintf("%s_bucket{%s,le=%q}", name, labels, le)]
			if !ok || b.value < last {
				t.Errorf("%s: the bucket up to %s has %v, the one before %v", key, le, b.value, last)
			}
			last = b.value
		}
		sum, ok := found[name+"_sum{"+labels+"}"]
		if last != s.value || !ok || s.value == 0 && sum.value != 0 {
			t.Errorf("%s is %v, the last bucket has %v, the sum is %v", key, s.value, last, sum.value)
		}
	}
}

func scrape(t *testing.T, h http.Handler) metrics {
	t.Helper()
	return parseMetrics(t, get(h, "/metrics").Body.String())
}

// wantMetrics checks some samples.
func wantMetrics(t *testing.T, found metrics, want map[string]float64) {
	t.Helper()
	for key, value := range want {
		if s, ok := found[key]; !ok || s.value != value {
			t.Errorf("%s is %v, not %v", key, s.value, value)
		}
	}
}

func TestMetrics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(2, antflow.ExecutorName("crawl"), antflow.QueueLimit(50))
		m := new(pipeline.Monitor)
		h := dashboard.Handler(dashboard.Executor(e), dashboard.Executor(antflow.New(3)), dashboard.Pipeline("etl", m))
		for _, d := range []time.Duration{2 * time.Millisecond, 20 * time.Millisecond, 700 * time.Millisecond,
			30 * second, 1000 * second} {
			submit(t, e, 1, nap(d), antflow.TaskName("nap"))
		}
		submit(t, e, 3, func(context.Context) (int, error) { return 0, errors.New("no") }, antflow.TaskName("bad"),
			antflow.Retries(2))
		for range 4 {
			antflow.Submit(context.Background(), e, nap(time.Minute), antflow.TaskName("nap"))
		}
		f := antflow.Submit(context.Background(), e, nap(time.Hour)) // behind those that sleep: never starts
		f.Cancel()
		time.Sleep(second)

		p := pipeline.Then(pipeline.Stage("fetch", func(_ context.Context, x int) (int, error) {
			time.Sleep(second)
			if x == 1 {
				return 0, errors.New("no")
			}
			return x, nil
		}), pipeline.Stage("parse", func(_ context.Context, x int) (int, error) { time.Sleep(second); return x, nil }))
		other := antflow.New(4)
		run := p.Start(context.Background(), other, pipeline.WithMonitor(m))
		for i := range 3 {
			run.Feed(context.Background(), i)
		}
		time.Sleep(2*second + second/2)

		wantMetrics(t, scrape(t, h), map[string]float64{
			`antflow_tasks_submitted_total{executor="crawl"}`:                                    13,
			`antflow_tasks_submitted_total{executor="executor 2"}`:                               0,
			`antflow_tasks_total{executor="crawl",outcome="succeeded"}`:                          5,
			`antflow_tasks_total{executor="crawl",outcome="failed"}`:                             3,
			`antflow_tasks_total{executor="crawl",outcome="canceled"}`:                           1,
			`antflow_tasks_rejected_total{executor="crawl"}`:                                     0,
			`antflow_task_retries_total{executor="crawl"}`:                                       6,
			`antflow_tasks{executor="crawl",state="running"}`:                                    2,
			`antflow_tasks{executor="crawl",state="queued"}`:                                     2,
			`antflow_workers{executor="crawl",state="busy"}`:                                     2,
			`antflow_workers{executor="crawl",state="idle"}`:                                     0,
			`antflow_workers{executor="executor 2",state="idle"}`:                                3,
			`antflow_queue_capacity{executor="crawl"}`:                                           50,
			`antflow_lost_events_total{executor="crawl"}`:                                        0,
			`antflow_task_duration_seconds_count{executor="crawl",name="bad"}`:                   9,
			`antflow_task_duration_seconds_count{executor="crawl",name="nap"}`:                   5,
			`antflow_task_duration_seconds_sum{executor="crawl",name="nap"}`:                     1030.722,
			`antflow_task_duration_seconds_bucket{executor="crawl",name="nap",le="0.005"}`:       1,
			`antflow_task_duration_seconds_bucket{executor="crawl",name="nap",le="0.025"}`:       2,
			`antflow_task_duration_seconds_bucket{executor="crawl",name="nap",le="0.5"}`:         2,
			`antflow_task_duration_seconds_bucket{executor="crawl",name="nap",le="1"}`:           3,
			`antflow_task_duration_seconds_bucket{executor="crawl",name="nap",le="60"}`:          4,
			`antflow_task_duration_seconds_bucket{executor="crawl",name="nap",le="300"}`:         4,
			`antflow_task_queue_duration_seconds_count{executor="crawl",name="bad"}`:             3,
			`antflow_pipeline_inputs_total{pipeline="etl"}`:                                      3,
			`antflow_pipeline_results_total{pipeline="etl"}`:                                     2,
			`antflow_pipeline_items{pipeline="etl"}`:                                             1,
			`antflow_pipeline_stage_workers{pipeline="etl",stage="parse"}`:                       1,
			`antflow_pipeline_stage_items{pipeline="etl",stage="fetch",state="running"}`:         1,
			`antflow_pipeline_stage_items{pipeline="etl",stage="parse",state="running"}`:         0,
			`antflow_pipeline_stage_visits_total{pipeline="etl",stage="fetch",outcome="done"}`:   1,
			`antflow_pipeline_stage_visits_total{pipeline="etl",stage="fetch",outcome="failed"}`: 1,
			`antflow_pipeline_stage_work_mean_seconds{pipeline="etl",stage="fetch"}`:             1,
		})
		if _, ok := scrape(t, h)[`antflow_queue_capacity{executor="executor 2"}`]; ok {
			t.Error("a queue without a limit has one")
		}
		run.Close()
		settle(e)
	})
}

// Whatever somebody calls a task, an executor or a pipeline, the text stays what
// it is meant to be.
func TestMetricsOfStrangeNames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		names := []string{
			"", `quo"te`, `back\slash`, "new\nline", `end\`, `"`, `a",x="b`, "# HELP x y", "{}", "}", "\x00\x01",
			"ö", "日本語", "\xff\xfe", "\xff", "\xfe",
			"\u2028", " ", "a (2)", strings.Repeat("ö", 1000), strings.Repeat("long", 1<<18), "(other)",
			"<script>alert(1)</script>",
		}
		var opts []dashboard.Option
		for _, name := range names {
			e := antflow.New(1, antflow.ExecutorName(name))
			opts = append(opts, dashboard.Executor(e), dashboard.Pipeline(name, new(pipeline.Monitor)),
				dashboard.Pipeline("same", new(pipeline.Monitor)))
		}
		e := antflow.New(1, antflow.ExecutorName("strange"))
		h := dashboard.Handler(append(opts, dashboard.Executor(e))...)
		for _, name := range names {
			submit(t, e, 1, nap(time.Millisecond), antflow.TaskName(name))
		}
		found := scrape(t, h)
		byName := make(map[string]float64)
		for _, s := range found {
			if s.name == "antflow_task_duration_seconds_count" && s.labels["executor"] == "strange" {
				byName[s.labels["name"]] = s.value
			}
			for _, value := range s.labels {
				if len(value) > 128+len(" (99)") {
					t.Errorf("a label of %d bytes", len(value))
				}
			}
		}
		for _, name := range []string{`quo"te`, `back\slash`, "new\nline", `end\`, `a",x="b`, "\x00\x01", "\uFFFD",
			"\uFFFD (2)", "\uFFFD (3)", strings.Repeat("ö", 62) + "…"} {
			if byName[name] != 1 {
				t.Errorf("%q: %v tasks; %q", name, byName[name], slices.Collect(maps.Keys(byName)))
			}
		}
	})
}

// However many names there are, there is a bounded number of lines.
func TestMetricsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(8)
		h := dashboard.Handler(dashboard.Executor(e))
		for i := range 2000 {
			antflow.Submit(context.Background(), e, nap(time.Millisecond), antflow.TaskName(fmt.Sprint("task ", i)))
		}
		settle(e)
		found := scrape(t, h)
		if n := len(found); n > 2*257*16+100 {
			t.Errorf("%d samples", n)
		}
		sum := 0.0
		for _, s := range found {
			if s.name == "antflow_task_duration_seconds_count" {
				sum += s.value
			}
		}
		if sum != 2000 {
			t.Errorf("%v tasks by name", sum)
		}
	})
}

// A bucket never counts less than before, which would be taken for a restart.
func TestBucketsOnlyGrow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := antflow.New(1)
		h := dashboard.Handler(dashboard.Executor(e))
		before := metrics{}
		// 4.9 ms is in a bucket of the executor's that ends above 5 ms.
		for _, d := range []time.Duration{4900 * time.Microsecond, 4999 * time.Microsecond, 20 * time.Millisecond,
			59 * second, 299 * second, 6 * time.Hour, time.Microsecond} {
			submit(t, e, 1, nap(d), antflow.TaskName("nap"))
			found := scrape(t, h)
			for key, s := range before {
				if s.labels["le"] != "" && found[key].value < s.value {
					t.Errorf("after %v %s is %v, and was %v", d, key, found[key].value, s.value)
				}
			}
			before = found
		}
	})
}
