package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/urfave/cli/v2"

	"f2bc/routes"
	"f2bc/store"
)

type pauseOptions struct {
	span  time.Duration // zero: until resume
	fleet bool
}

func (p *process) pauseCommand() *cli.Command {
	return &cli.Command{
		Name:  "pause",
		Usage: "stop enforcing bans, at once, on this host or on all",
		Description: `Takes f2bc's rules out of the kernel, so that no ban is enforced, and keeps sync-routes from putting them
back. Bans go on being reported and listed. f2bc resume ends it.`,
		Flags: append([]cli.Flag{
			&cli.DurationFlag{Name: "for", Usage: "resume by itself after `TIME`, such as 2h"},
			&cli.BoolFlag{Name: "fleet", Usage: "on all hosts, each at its next sync"},
		}, globalFlags()...),
		Action: func(c *cli.Context) error {
			o := pauseOptions{span: c.Duration("for"), fleet: c.Bool("fleet")}
			if c.IsSet("for") && o.span <= 0 {
				return usagef("--for %v: want a time above 0, such as 2h", o.span)
			}
			if err := noArguments(c); err != nil {
				return err
			}
			cfg, err := p.configure(c)
			if err != nil {
				return err
			}
			if o.fleet {
				return p.pauseFleet(c.Context, cfg, o)
			}
			return p.pause(c.Context, cfg, o)
		},
	}
}

func (p *process) resumeCommand() *cli.Command {
	return &cli.Command{
		Name:  "resume",
		Usage: "end a pause",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "fleet", Usage: "the pause of all hosts; those that are paused by themselves stay so"},
		}, globalFlags()...),
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			cfg, err := p.configure(c)
			if err != nil {
				return err
			}
			return p.resume(c.Context, cfg, c.Bool("fleet"))
		},
	}
}

func (p *process) pause(ctx context.Context, cfg *config, o pauseOptions) error {
	kernel, err := routes.Open(cfg.routesSettings())
	if err != nil {
		return needRoot(err)
	}
	defer kernel.Close()
	// First the file: a sync that runs right now sees it, and takes back what it has added.
	if err := writePause(cfg, o.span); err != nil {
		return err
	}
	s := &syncer{p: p, cfg: cfg, kernel: kernel}
	state, err := kernel.Read(ctx)
	if err == nil {
		err = s.apply(ctx, state, state.Pause(), nil)
	}
	if err != nil {
		return fmt.Errorf("paused, but the rules are still there: %w", needRoot(err))
	}
	text, err := s.paused(fleetPause{})
	if err == nil {
		p.out.say("paused %s: nothing is enforced on this host", text)
	}
	return err
}

func (p *process) pauseFleet(ctx context.Context, cfg *config, o pauseOptions) error {
	st, err := p.openStore(ctx, cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	until := store.Permanent
	if o.span > 0 {
		now, err := st.Now(ctx)
		if err != nil {
			return err
		}
		until = now.Add(o.span)
	}
	if err := st.SetPause(ctx, until); err != nil {
		return err
	}
	p.out.say("paused %s: every host stops enforcing at its next sync", fleetPause{until: until})
	return nil
}

func (p *process) resume(ctx context.Context, cfg *config, fleet bool) error {
	if !fleet {
		if err := cfg.state.Remove(pauseFile); err != nil {
			return fmt.Errorf("resume: %w", err)
		}
		p.out.say("resumed: the next sync-routes enforces the list again")
		return nil
	}
	st, err := p.openStore(ctx, cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	if err := st.SetPause(ctx, 0); err != nil {
		return err
	}
	p.out.say("resumed: every host that is not paused by itself enforces the list at its next sync")
	return nil
}

// flush removes all that is ours from the kernel, and pauses this host: the next run would bring it back.
func (s *syncer) flush(ctx context.Context) error {
	if err := writePause(s.cfg, 0); err != nil {
		return err
	}
	state, err := s.readKernel(ctx)
	if err == nil {
		err = s.apply(ctx, state, state.Flush(), nil)
	}
	if err != nil {
		return needRoot(err)
	}
	s.p.out.say("%s removed; nothing is enforced on this host until f2bc resume", counted(len(state.Ours), "route", "routes"))
	return nil
}

// hostPause is the content of the pause file.
type hostPause struct {
	Until time.Time `json:"until"` // zero: until resume
}

const pauseFile = "pause.json"

func writePause(cfg *config, span time.Duration) error {
	var pause hostPause
	if span > 0 {
		pause.Until = time.Now().Add(span).UTC().Truncate(time.Second)
	}
	if err := cfg.state.WriteJSON(pauseFile, pause); err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	return nil
}

// paused says until when this host is paused, by itself or with the fleet; empty if it is not. A pause file that cannot
// be read is an error: somebody wanted a pause.
func (s *syncer) paused(fleet fleetPause) (string, error) {
	if fleet.on() {
		return fleet.String(), nil
	}
	text, err := s.cfg.state.Read(pauseFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var pause hostPause
	if err == nil {
		err = json.Unmarshal(text, &pause)
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("read %s, so routes stay as they are: %w; f2bc resume removes it", s.cfg.state.Path(pauseFile), err)
	case pause.Until.IsZero():
		return "until f2bc resume", nil
	case time.Now().Before(pause.Until):
		return "until " + moment(pause.Until), nil
	}
	return "", nil
}

// fleetPause is a pause of all hosts. It is on the store's clock, and this host's may be wrong: so it is known when it
// ends here, and no time of one clock is compared with the other.
type fleetPause struct {
	until store.Time // on the store's clock, for people; zero: no pause
	ends  time.Time  // on this host's clock; zero where until is Permanent
}

// fleetPaused returns the pause that st told of last.
func fleetPaused(st *store.Store) fleetPause {
	f := fleetPause{until: st.Paused()}
	if f.until != 0 && f.until != store.Permanent {
		f.ends = st.Local(f.until)
	}
	return f
}

func (f fleetPause) on() bool {
	return f.until == store.Permanent || f.until != 0 && time.Now().Before(f.ends)
}

// local is what a later run may know of f: until when it is on this host's clock.
func (f fleetPause) local() store.Time {
	if f.until == 0 || f.until == store.Permanent {
		return f.until
	}
	return store.TimeOf(f.ends.Round(time.Second)) // no two measurements of the clocks find the same
}

func (f fleetPause) String() string {
	if f.until == store.Permanent {
		return "with the fleet, until f2bc resume --fleet"
	}
	return "with the fleet, until " + moment(f.until.Std())
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
