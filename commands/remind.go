package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"
)

const (
	remindEvery = 24 * time.Hour
	maxReminded = 100 // different notes a day; a phone system under attack must not fill the disk
)

// reminder is for a command that cron runs every minute, and whose every line cron would mail: a note is said once a
// day, a failure when it begins and once a day as long as it lasts. On a terminal everything is said.
type reminder struct {
	p    *process
	cfg  *config
	path string // empty: everything is said, nothing is kept

	mu      sync.Mutex // of what follows: sync-routes --watch has two goroutines
	kept    keptWords
	changed bool
}

// keptWords are what was said, with the time.
type keptWords struct {
	Notes    map[string]time.Time `json:"notes"`
	Failures map[string]time.Time `json:"failures"` // since the last success, as failureKey writes them
}

// reminder returns one that keeps its words under name in the state directory; with an empty name it says everything.
func (p *process) reminder(cfg *config, name string) *reminder {
	r := &reminder{p: p, cfg: cfg}
	if name != "" && !p.out.terminal && cfg.StateDir != "" {
		r.path = filepath.Join(cfg.StateDir, name+".said.json")
		text, err := os.ReadFile(r.path)
		if err == nil {
			err = json.Unmarshal(text, &r.kept)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.out.say("what was said already is not known: %v", err)
		}
	}
	for _, words := range []*map[string]time.Time{&r.kept.Notes, &r.kept.Failures} {
		if *words == nil {
			*words = map[string]time.Time{}
		}
	}
	r.forget()
	return r
}

// forget drops what is to be said again.
func (r *reminder) forget() {
	for _, words := range []map[string]time.Time{r.kept.Notes, r.kept.Failures} {
		maps.DeleteFunc(words, func(_ string, said time.Time) bool { return time.Since(said) > remindEvery || time.Until(said) > 0 })
	}
}

// say prints a note that was not said for a day.
func (r *reminder) say(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); r.fresh(text) {
		r.p.out.line(syslogNotice, text)
	}
}

// fresh says whether a note was not said for a day, and takes it for said.
func (r *reminder) fresh(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, said := r.kept.Notes[text]; said || len(r.kept.Notes) > maxReminded {
		return false
	}
	r.kept.Notes[text], r.changed = time.Now(), true
	if len(r.kept.Notes) > maxReminded {
		r.p.out.line(syslogNotice, "more like that, which are not shown today")
		return false
	}
	return true
}

// end takes the outcome of the run, and returns it in the way that Run prints it when it has to be said.
func (r *reminder) end(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case err == nil && len(r.kept.Failures) > 0:
		r.p.out.line(syslogNotice, "works again")
		clear(r.kept.Failures)
		r.changed = true
	case err != nil:
		key := failureKey(err)
		if _, said := r.kept.Failures[key]; said {
			err = kindError{errSaid, err}
		} else {
			r.kept.Failures[key], r.changed = time.Now(), true
		}
	}
	r.keep()
	return err
}

var digits = regexp.MustCompile("[0-9]+")

// failureKey leaves out what differs in each run: local ports, times, counts.
func failureKey(err error) string { return digits.ReplaceAllString(err.Error(), "0") }

func (r *reminder) keep() {
	if r.path == "" || !r.changed {
		return
	}
	err := makeStateDir(r.cfg)
	if err == nil {
		err = replaceFile(r.path, 0o600, func(f *os.File) error { return json.NewEncoder(f).Encode(r.kept) })
	}
	if err != nil {
		r.p.out.say("every run will say this again: %v", err)
	}
}
