package commands

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

// TestEveryCommandHasALimit: one in the table for each, and none for what is no command.
func TestEveryCommandHasALimit(t *testing.T) {
	var names []string
	for _, c := range (&process{out: newOutput(&bytes.Buffer{}, &bytes.Buffer{})}).app().Commands {
		if names = append(names, c.Name); longest[c.Name] <= 0 {
			t.Errorf("%s may take for ever", c.Name)
		}
	}
	for name := range longest {
		if !slices.Contains(names, name) {
			t.Errorf("%s is no command", name)
		}
	}
}

// TestLimit: a command that takes longer than it may ends with 1, whatever was under way; what has no end of its own
// has no limit, and a signal is a signal.
func TestLimit(t *testing.T) {
	was := longest["status"]
	longest["status"] = 10 * time.Millisecond
	defer func() { longest["status"] = was }()
	run := func(ctx context.Context, action func(ctx context.Context) error, args ...string) (code int, stderr string) {
		var errs bytes.Buffer
		p := &process{out: newOutput(&bytes.Buffer{}, &errs)}
		c := &cli.Command{Name: "status", Flags: []cli.Flag{&cli.BoolFlag{Name: "watch"}, &cli.StringFlag{Name: "from"}},
			Action: func(c *cli.Context) error { return action(c.Context) }}
		finish("status", c)
		app := p.app()
		app.Commands = []*cli.Command{c}
		return p.run(ctx, app, append([]string{"f2bc", "status"}, args...)), errs.String()
	}
	stalled := func(ctx context.Context) error {
		<-ctx.Done()
		return errors.Join(errors.New("read"), context.Canceled)
	}
	const late10 = "f2bc: not done after 10ms, the longest that f2bc status may take: read"
	if code, stderr := run(t.Context(), stalled); code != 1 || !strings.Contains(stderr, late10) {
		t.Errorf("%d, %s", code, stderr)
	}
	late := func(ctx context.Context) error { <-ctx.Done(); return nil }
	if code, stderr := run(t.Context(), late); code != 0 || stderr != "" {
		t.Errorf("done, but late: %d, %s", code, stderr)
	}
	said := func(ctx context.Context) error { <-ctx.Done(); return kindError{errSaid, ctx.Err()} }
	if code, stderr := run(t.Context(), said); code != 1 || stderr != "" {
		t.Errorf("said before: %d, %s", code, stderr)
	}
	signalled, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	if code, stderr := run(signalled, stalled, "-"); code != 130 || !strings.Contains(stderr, "interrupted") {
		t.Errorf("a signal: %d, %s", code, stderr)
	}
	for _, args := range [][]string{{"--watch"}, {"--from", "-"}, {"192.0.2.1", "-"}} {
		endless := func(ctx context.Context) error {
			if _, bounded := ctx.Deadline(); bounded {
				return errors.New("bounded")
			}
			return nil
		}
		if code, stderr := run(t.Context(), endless, args...); code != 0 {
			t.Errorf("%v: %d, %s", args, code, stderr)
		}
	}
}
