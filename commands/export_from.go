package commands

import (
	"context"
	"fmt"
	"io"
	"os"

	"f2bc/aggregate"
	"f2bc/commands/publish"
)

// exportFrom makes the list of what a file holds, as it stands, and says how many of its lines are bad. Each has been
// named.
func (p *process) exportFrom(ctx context.Context, o exportOptions, allow *aggregate.Set) (
	list *publish.List, invalid int, err error,
) {
	set := new(aggregate.Set)
	bad := func(line int, _ string, err error) {
		invalid++
		if o.from == "-" {
			err = fmt.Errorf("line %d: %w", line, err)
		} else {
			err = fmt.Errorf("%s:%d: %w", o.from, line, err)
		}
		p.out.fail(err)
	}
	if o.from == "-" {
		err = set.Read(interruptible(ctx, p.stdin), bad)
	} else {
		err = readList(o.from, set, bad)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read --from %s: %w", o.from, err)
	}
	if invalid > 0 && set.Len() == 0 {
		// An error page instead of the list must not empty a firewall.
		return nil, 0, invalidf("read --from %s: no line is an address or CIDR, nothing is written", o.from)
	}
	switch {
	case o.list.OnlyIPv4:
		set = set.IPv4()
	case o.list.OnlyIPv6:
		set = set.IPv6()
	}
	if o.widen6 > 0 {
		set.Widen6(o.widen6)
	}
	set.Remove(allow)
	o.list.Set, o.list.Avoid = set, allow
	return &o.list, invalid, nil
}

func readList(file string, set *aggregate.Set, bad func(line int, text string, err error)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return set.Read(f, bad)
}

// readAllowList reads the file of --allow, empty for none. A bad line is an error: going on without it would ban what
// it shields.
func readAllowList(file string) (*aggregate.Set, error) {
	set := new(aggregate.Set)
	if file == "" {
		return set, nil
	}
	var first error
	err := readList(file, set, func(line int, _ string, err error) {
		if first == nil {
			first = invalidf("%s:%d: %w; nothing is written, since this line may shield an address",
				file, line, err)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read --allow %s: %w", file, err)
	}
	return set, first
}

// interruptible makes a reader end with ctx, even while a person at a terminal has not typed the next line. A regular
// file stays what it is, which is read faster.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	if f, ok := r.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return r
		}
	}
	return readerFunc(func(b []byte) (int, error) {
		type result struct {
			n   int
			err error
		}
		read := make(chan result, 1)
		go func() {
			n, err := r.Read(b)
			read <- result{n, err}
		}()
		select {
		case got := <-read:
			return got.n, got.err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
