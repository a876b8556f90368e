package store

import (
	"context"
	"strconv"
	"sync"
	"time"
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
