package commands

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"f2bc/aggregate"
)

// batch is how many prefixes are handled at a time, so that a list of any length needs little memory.
const batch = 10_000

// input is a prefix as it was given, with its place for messages.
type input struct {
	netip.Prefix
	line int // in standard input, from 1; 0 for an argument
}

// place begins a message about an input: "line 3: ", or nothing for an argument, which the message quotes anyway.
func (in input) place() string {
	if in.line == 0 {
		return ""
	}
	return fmt.Sprintf("line %d: ", in.line)
}

// prefixReader reads PREFIX arguments, of which - stands for standard input.
type prefixReader struct {
	p       *process
	do      func([]input) error // called for every batch of valid prefixes
	pending []input
	invalid int // how many were no prefix; each has been named
}

// eachBatch calls do for the prefixes of args, in order, and names those that are none. Returns how many were none.
func (p *process) eachBatch(ctx context.Context, args []string, do func([]input) error) (invalid int, err error) {
	r := &prefixReader{p: p, do: do}
	for _, arg := range args {
		if arg == "-" {
			err = eachLine(ctx, p.stdin, r.add)
		} else {
			err = r.add(0, arg)
		}
		if err != nil {
			return r.invalid, err
		}
	}
	return r.invalid, r.flush()
}

func (r *prefixReader) add(line int, text string) error {
	prefix, err := aggregate.ParsePrefix(strings.TrimSpace(text))
	in := input{prefix, line}
	if err != nil {
		r.invalid++
		r.p.out.fail(fmt.Errorf("%s%w", in.place(), err))
		return nil
	}
	if r.pending = append(r.pending, in); len(r.pending) < batch {
		return nil
	}
	return r.flush()
}

func (r *prefixReader) flush() error {
	if len(r.pending) == 0 {
		return nil
	}
	err := r.do(r.pending)
	r.pending = r.pending[:0]
	return err
}

// eachLine calls do for every line that is neither blank nor a comment. It returns when ctx ends, even while a person
// at a terminal has not typed the next line.
func eachLine(ctx context.Context, r io.Reader, do func(line int, text string) error) error {
	type chunk struct {
		first int
		lines []string
	}
	ctx, stopReading := context.WithCancel(ctx)
	defer stopReading()
	chunks := make(chan chunk)
	var readErr error
	go func() {
		defer close(chunks)
		scanner := bufio.NewScanner(r)
		c := chunk{first: 1}
		send := func() bool {
			select {
			case chunks <- c:
				c = chunk{first: c.first + len(c.lines)}
				return true
			case <-ctx.Done():
				return false
			}
		}
		for scanner.Scan() {
			c.lines = append(c.lines, scanner.Text())
			if len(c.lines) == 1000 && !send() {
				return
			}
		}
		if readErr = scanner.Err(); errors.Is(readErr, bufio.ErrTooLong) {
			readErr = fmt.Errorf("line %d: longer than 64 KB, this is no list of prefixes", c.first+len(c.lines))
		}
		send()
	}()
	for {
		select {
		case c, ok := <-chunks:
			if !ok {
				return readErr
			}
			for i, text := range c.lines {
				if text = stripComment(text); text == "" {
					continue
				}
				if err := do(c.first+i, text); err != nil {
					return err
				}
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func stripComment(line string) string {
	line, _, _ = strings.Cut(line, "#")
	return strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
}
