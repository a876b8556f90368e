package store

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"f2bc/store/state"
)

// maxAhead is how far a fact may be ahead of the store's clock: more than the clocks of cluster nodes are apart.
const maxAhead = 60 * time.Second

// clock knows the store's clock by its distance from the local one, so that it need not be asked for every fact.
// The local side is monotonic: a step of the wall clock in a long run does not move it.
type clock struct {
	mu    sync.Mutex
	local time.Time
	store Time
}

// set notes that the store answered now when it was asked at asked. An empty answer means the local clock is the store's.
func (c *clock) set(asked time.Time, now string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.local = asked
	if µs, err := strconv.ParseInt(now, 10, 64); err == nil {
		c.store = Time(µs)
	} else {
		c.store = TimeOf(asked)
	}
}

func (c *clock) now() Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.store + Time(time.Since(c.local).Microseconds())
}

// Local returns the time on this machine's clock when it is t on the store's. Until the store is asked for its clock
// again the same t gives the same time.
func (s *Store) Local(t Time) time.Time {
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	return s.clock.local.Add(time.Duration(min(t-s.clock.store, math.MaxInt64/1000)) * time.Microsecond)
}

// Now asks the store for its clock.
func (s *Store) Now(ctx context.Context) (Time, error) {
	asked, now := time.Now(), ""
	if s.engine.now != "" {
		err := retry(ctx, func(ctx context.Context) error {
			asked = time.Now()
			return s.db.QueryRowContext(ctx, "SELECT "+s.engine.now).Scan(&now)
		})
		if err != nil {
			return 0, err
		}
	}
	s.clock.set(asked, now)
	return s.clock.now(), nil
}

// clockSlack is how far two clocks may be apart and count as equal, and how far their distance may seem to move.
const clockSlack = time.Second

// dated returns the store's time for a local one: the same whenever it is asked, since fail2ban reports a ban and its
// prolongation by two processes at the same time, and the longer of two reports stands only where their times are equal.
// So the offset of the clocks, which no two measurements find alike, is kept until it moves by more than the slack.
func (s *Store) dated(local Time) Time {
	now := s.clock.now()
	t := local + s.offset(now-TimeOf(time.Now()))
	if t > now.Add(clockSlack) {
		t = now // the future cannot have happened
	}
	return max(t, 1)
}

func (s *Store) offset(measured Time) Time {
	if s.Embedded() {
		return 0
	}
	kept := keptOffset(s.state)
	if moved := measured - kept; moved <= Time(clockSlack.Microseconds()) && -moved <= Time(clockSlack.Microseconds()) {
		return kept
	}
	s.keepOffset(measured)
	return measured
}

const offsetFile = "clock-distance"

// keptOffset returns how far the store's clock is ahead of the local one, as last kept.
func keptOffset(dir state.Dir) Time {
	text, _ := dir.Read(offsetFile)
	µs, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // what is torn counts as none
	return Time(µs)
}

// keepOffset is advice: without it equal times may differ.
func (s *Store) keepOffset(offset Time) {
	if offset != keptOffset(s.state) {
		s.state.Note(offsetFile, fmt.Sprintln(int64(offset)))
	}
}
