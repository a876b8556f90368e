package routes

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestUndo: whatever was planned and whatever the kernel refused of it, taking
// it back deletes the routes and rules that were added, and nothing else.
func TestUndo(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		var p, want Plan
		var r Result
		refused := func(f Failure) bool {
			if rnd.IntN(3) > 0 {
				return false
			}
			f.Err = errors.New("no memory")
			r.Failed = append(r.Failed, f)
			return true
		}
		for _, pre := range some {
			switch rnd.IntN(3) {
			case 0:
				p.Add = append(p.Add, pre)
				if !refused(Failure{Op: "add", Prefix: pre}) {
					want.Del = append(want.Del, pre)
				}
			case 1: // that it could not be deleted does not mean that it was not added
				p.Add, p.Del, want.Del = append(p.Add, pre), append(p.Del, pre), append(want.Del, pre)
				refused(Failure{Op: "delete", Prefix: pre})
			}
		}
		for _, f := range []Family{IPv4, IPv6} {
			switch rnd.IntN(3) {
			case 0:
				p.AddRules = append(p.AddRules, f)
				if !refused(Failure{Op: "add", Rule: f}) {
					want.DelRules = append(want.DelRules, f)
				}
			case 1:
				p.AddRules, p.DelRules = append(p.AddRules, f), append(p.DelRules, f)
				want.DelRules = append(want.DelRules, f)
				refused(Failure{Op: "delete", Rule: f})
			}
		}
		rules := slices.Clone(p.AddRules)
		rnd.Shuffle(len(r.Failed), func(i, j int) { r.Failed[i], r.Failed[j] = r.Failed[j], r.Failed[i] })
		u := p.Undo(r)
		added := len(u.Add) + len(u.AddRules)
		if added > 0 || !slices.Equal(u.Del, want.Del) || !slices.Equal(u.DelRules, want.DelRules) {
			t.Fatalf("plan %+v, failed %+v: undone by %+v, want %+v", p, r.Failed, u, want)
		}
		if !slices.Equal(p.AddRules, rules) {
			t.Fatalf("the plan itself became %+v", p)
		}
	}
}

// TestCommitAsks: a plan is empty if it has none of the four kinds of changes,
// in whatever numbers, and confirm is asked once if it adds anything.
func TestCommitAsks(t *testing.T) {
	for kinds := range 3 * 3 * 3 * 3 {
		add, del, addRules, delRules := kinds%3, kinds/3%3, kinds/9%3, kinds/27
		families := []Family{IPv4, IPv6}
		p := Plan{some[:add], some[2 : 2+del], families[:addRules], families[:delRules]}
		if p.IsEmpty() != (kinds == 0) {
			t.Errorf("%+v: empty %t", p, p.IsEmpty())
		}
		asked, want := 0, min(add+addRules, 1)
		k := &fake{state: State{Ours: slices.Clone(some[2:]), Rule4: true, Rule6: true}}
		r, err := Commit(t.Context(), k, p, func(context.Context) error { asked++; return nil })
		if err != nil || asked != want || r.Added != add || r.Deleted != del {
			t.Errorf("%+v: asked %d times, %+v, %v", p, asked, r, err)
		}
	}
}
