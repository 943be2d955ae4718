package clusterbench

import "testing"

// Peers whose servers aren't there are marked as absent, and the others are not.
func TestAbsent(t *testing.T) {
	redis, postgres := redisServer, postgresDir
	defer func() { redisServer, postgresDir = redis, postgres }()
	redisServer, postgresDir = "", "/somewhere"
	for _, row := range Rows() {
		for i, c := range row.Cases {
			want := ""
			if c.Contender == "asynq on Redis" {
				want = "redis-server is not installed"
			}
			if c.Absent != want || i == 0 && c.Absent != "" {
				t.Errorf("%s, %s is absent by %q, want %q", row.Name, c.Contender, c.Absent, want)
			}
		}
	}
}

// A result that is wrong is found out, and one that comes twice counts once.
func TestTally(t *testing.T) {
	tally := newTally(5, 2)
	for _, o := range []outcome{{4, 8}, {5, 10}, {5, 10}, {7, 14}} {
		if err := tally.add(o.In, o.Out); err != nil {
			t.Error(err)
		}
	}
	if tally.left != 1 {
		t.Errorf("%d are left of two, one of which came twice", tally.left)
	}
	if err := tally.add(6, 13); err == nil {
		t.Error("a wrong result was accepted")
	}
}
