package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"sync"
	"time"
)

const (
	remindEvery = 24 * time.Hour
	maxReminded = 100 // different notes a day; a phone system under attack must not fill the disk
)

// Said is what a command has said that cron runs every minute, and whose every line cron would mail: a note is to be said
// once a day, a failure when it begins and once a day as long as it lasts.
//
// It decides what is said and returns it, but says nothing itself: whatever speaks asks it first, so under its own lock
// it would ask itself, and wait for ever.
type Said struct {
	dir  Dir
	name string // of the file; empty: nothing is kept

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

// Said returns what the command of that name has said, and why that is not known. With an empty name it knows only what
// this run says, and keeps nothing.
func (d Dir) Said(name string) (*Said, error) {
	s := &Said{dir: d, kept: keptWords{map[string]time.Time{}, map[string]time.Time{}}}
	if name != "" && d != "" {
		s.name = name + ".said.json"
	}
	return s, s.Read()
}

// Read adds what the file has to what is known. A run that waited for another does it again.
func (s *Said) Read() error {
	if s.name == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var file keptWords
	if err := s.dir.ReadJSON(s.name, &file); err != nil {
		return err
	}
	maps.Copy(s.kept.Notes, file.Notes)
	maps.Copy(s.kept.Failures, file.Failures)
	s.forget()
	return nil
}

// forget drops what is to be said again.
func (s *Said) forget() {
	for _, words := range []map[string]time.Time{s.kept.Notes, s.kept.Failures} {
		maps.DeleteFunc(words, func(_ string, said time.Time) bool { return time.Since(said) > remindEvery || time.Until(said) > 0 })
	}
}

// Once returns what is to be said instead of a note: nothing if that was said within a day.
func (s *Said) Once(note string) string { return s.onceAs(note, note) }

// OnceAlike is Once for a note that differs in each run.
func (s *Said) OnceAlike(note string) string { return s.onceAs(alike(note), note) }

func (s *Said) onceAs(key, note string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, said := s.kept.Notes[key]; said || len(s.kept.Notes) > maxReminded {
		return ""
	}
	s.kept.Notes[key], s.changed = time.Now(), true
	if len(s.kept.Notes) > maxReminded {
		return "more like that, which are not shown today"
	}
	return note
}

// End takes the outcome of the run. It returns what is to be said beside it, and whether the outcome, a failure, was said
// within a day.
func (s *Said) End(err error) (notes []string, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	switch {
	case errors.Is(err, context.Canceled):
		return nil, false
	case err == nil && len(s.kept.Failures) > 0:
		notes = append(notes, "works again")
		clear(s.kept.Failures)
		s.changed = true
	case err != nil:
		key := alike(err.Error())
		if _, known = s.kept.Failures[key]; !known {
			s.kept.Failures[key], s.changed = time.Now(), true
		}
	}
	if keepErr := s.keep(); keepErr == nil {
		s.unkept = ""
	} else if key := alike(keepErr.Error()); key != s.unkept || time.Since(s.unkeptAt) > remindEvery {
		s.unkept, s.unkeptAt = key, time.Now()
		notes = append(notes, fmt.Sprintf("every run will say this again: %v", keepErr))
	}
	return notes, known
}

var digits = regexp.MustCompile("[0-9]+")

// alike leaves out what differs in each run: local ports, times, counts.
func alike(text string) string { return digits.ReplaceAllString(text, "0") }

func (s *Said) keep() error {
	if s.name == "" || !s.changed {
		return nil
	}
	err := s.dir.WriteJSON(s.name, s.kept)
	s.changed = err != nil
	return err
}
