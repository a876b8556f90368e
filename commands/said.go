package commands

import (
	"context"
	"time"

	"f2bc/store/state"
)

// lockTime is how long a run waits for another to end; a variable for tests.
var lockTime = 30 * time.Second

// said returns what the command of that name has said. On a terminal, and with an empty name, everything is said.
func (p *process) said(cfg *config, name string) *state.Said {
	if p.out.terminal {
		name = ""
	}
	words, err := cfg.state.Said(name)
	if err != nil {
		p.out.say("what was said already is not known: %v", err)
	}
	return words
}

// lock takes a lock for a run that words are of.
func (p *process) lock(ctx context.Context, cfg *config, l state.Lock, words *state.Said) (unlock func(), err error) {
	l.Say = func(note string) { p.out.sayOnce(words.OnceAlike, note) }
	if unlock, err = cfg.state.Lock(ctx, l); err != nil {
		return nil, err
	}
	words.Read() // what the other run has said meanwhile; where that fails, it was told before
	return unlock, nil
}

// end ends a run whose words these are, and says what is to be said.
func (p *process) end(words *state.Said, err error) error {
	notes, known := words.End(err)
	for _, note := range notes {
		p.out.line(syslogNotice, note)
	}
	if known {
		return kindError{errSaid, err}
	}
	return err
}
