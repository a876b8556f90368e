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
//
// It decides what is said and returns it, but says nothing itself: whatever speaks asks it first, so under its own lock
// it would ask itself, and wait for ever.
type reminder struct {
	cfg  *config
	path string // empty: everything is said, nothing is kept

	mu       sync.Mutex // of what follows: sync-routes --watch has two goroutines
	kept     keptWords
	changed  bool
	unkept   string    // why the words could not be kept, as alike writes it
	unkeptAt time.Time // when that was said
}

// keptWords are what was said, with the time.
type keptWords struct {
	Notes    map[string]time.Time `json:"notes"`
	Failures map[string]time.Time `json:"failures"` // since the last success, as alike writes them
}

// reminder returns one that keeps its words under name in the state directory; with an empty name it says everything.
func (p *process) reminder(cfg *config, name string) *reminder {
	r := &reminder{cfg: cfg, kept: keptWords{map[string]time.Time{}, map[string]time.Time{}}}
	if name != "" && !p.out.terminal && cfg.StateDir != "" {
		r.path = filepath.Join(cfg.StateDir, name+".said.json")
	}
	if err := r.read(); err != nil {
		p.out.say("what was said already is not known: %v", err)
	}
	return r
}

// read adds what the file has to what is known. A run that waited for another does it again.
func (r *reminder) read() error {
	if r.path == "" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	text, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var file keptWords
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		return err
	}
	maps.Copy(r.kept.Notes, file.Notes)
	maps.Copy(r.kept.Failures, file.Failures)
	r.forget()
	return nil
}

// forget drops what is to be said again.
func (r *reminder) forget() {
	for _, words := range []map[string]time.Time{r.kept.Notes, r.kept.Failures} {
		maps.DeleteFunc(words, func(_ string, said time.Time) bool { return time.Since(said) > remindEvery || time.Until(said) > 0 })
	}
}

// once returns what is to be said instead of a note: nothing if that was said within a day.
func (r *reminder) once(note string) string { return r.onceAs(note, note) }

// onceAlike is once for a note that differs in each run.
func (r *reminder) onceAlike(note string) string { return r.onceAs(alike(note), note) }

func (r *reminder) onceAs(key, note string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, said := r.kept.Notes[key]; said || len(r.kept.Notes) > maxReminded {
		return ""
	}
	r.kept.Notes[key], r.changed = time.Now(), true
	if len(r.kept.Notes) > maxReminded {
		return "more like that, which are not shown today"
	}
	return note
}

// end takes the outcome of the run, and returns it in the way that Run prints it when it has to be said, beside what else
// is to be said.
func (r *reminder) end(err error) (notes []string, outcome error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
	switch {
	case errors.Is(err, context.Canceled):
		return nil, err
	case err == nil && len(r.kept.Failures) > 0:
		notes = append(notes, "works again")
		clear(r.kept.Failures)
		r.changed = true
	case err != nil:
		key := alike(err.Error())
		if _, said := r.kept.Failures[key]; said {
			err = kindError{errSaid, err}
		} else {
			r.kept.Failures[key], r.changed = time.Now(), true
		}
	}
	if keepErr := r.keep(); keepErr == nil {
		r.unkept = ""
	} else if key := alike(keepErr.Error()); key != r.unkept || time.Since(r.unkeptAt) > remindEvery {
		r.unkept, r.unkeptAt = key, time.Now()
		notes = append(notes, fmt.Sprintf("every run will say this again: %v", keepErr))
	}
	return notes, err
}

// end ends a run whose words r has, and says what r wants to be said.
func (p *process) end(r *reminder, err error) error {
	notes, err := r.end(err)
	for _, note := range notes {
		p.out.line(syslogNotice, note)
	}
	return err
}

var digits = regexp.MustCompile("[0-9]+")

// alike leaves out what differs in each run: local ports, times, counts.
func alike(text string) string { return digits.ReplaceAllString(text, "0") }

func (r *reminder) keep() error {
	if r.path == "" || !r.changed {
		return nil
	}
	err := makeStateDir(r.cfg)
	if err == nil {
		err = replaceFile(r.path, 0o600, func(f *os.File) error { return json.NewEncoder(f).Encode(r.kept) })
	}
	r.changed = err != nil
	return err
}
