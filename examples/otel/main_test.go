package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

func runCommand(ctx context.Context, args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = run(ctx, args, &out, &errs)
	return status, out.String(), errs.String()
}

func wantLines(t *testing.T, out string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+out, "\n"+line) {
			t.Errorf("there is no line %q", line)
		}
	}
	if t.Failed() {
		t.Logf("the output:\n%s", out)
	}
}

// Of 60 pages eight need a second attempt and three a third one.
func TestOwnSite(t *testing.T) {
	status, out, errs := runCommand(t.Context())
	if status != 0 || errs != "" {
		t.Errorf("exit status %d: %s", status, errs)
	}
	wantLines(t, out, "60 of 60 links checked, 0 broken",
		`antflow_task_completed_total{antflow_executor_name="links",antflow_outcome="succeeded",antflow_task_name="check"} 60`,
		`antflow_task_retries_total{antflow_executor_name="links",antflow_task_name="check",error_type="# Service Unavailable"} 14`,
		`antflow_task_duration_seconds_count{antflow_executor_name="links",antflow_task_name="check"} 60`,
		`antflow_task_duration_seconds_count{antflow_executor_name="links",antflow_task_name="check",error_type="# Service Unavailable"} 14`,
		`antflow_task_queue_duration_seconds_count{antflow_executor_name="links",antflow_task_name="check"} 60`,
		`antflow_task_rejected_total{antflow_executor_name="links"} 0`,
		"check, ", "    GET, ", "    check retry, ", "        GET, ",
	)
	if n := strings.Count(out, "check retry, "); n != 2 {
		t.Errorf("%d retries are shown, want the 2 of the worst page", n)
	}
}

func TestBrokenLinks(t *testing.T) {
	s, err := serve()
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	status, out, errs := runCommand(t.Context(), "-workers", "1", "-rate", "1000", s.url+"/1", s.url+"/none", "://")
	if status != 1 || errs != "" {
		t.Errorf("exit status %d: %s", status, errs)
	}
	wantLines(t, out, "3 of 3 links checked, 2 broken",
		s.url+"/none: antflow: item 1: 404 Not Found",
		"://: antflow: item 2: parse",
		`antflow_task_completed_total{antflow_executor_name="links",antflow_outcome="failed",antflow_task_name="check",error_type="# Not Found"} 1`,
	)
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	status, out, _ := runCommand(ctx)
	if status != 1 {
		t.Errorf("exit status %d", status)
	}
	wantLines(t, out, "antflow: wait ended: context canceled")
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"-workers", "0"}, {"-rate", "x"}, {"-nonsense"}} {
		if status, _, errs := runCommand(t.Context(), args...); status != 2 || errs == "" {
			t.Errorf("%q: exit status %d: %s", args, status, errs)
		}
	}
	if status, _, errs := runCommand(t.Context(), "-help"); status != 0 || !strings.Contains(errs, "-workers") {
		t.Errorf("-help: exit status %d: %s", status, errs)
	}
}
