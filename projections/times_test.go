package projections

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

func TestAClassOfTimesTellsADurationWithinFivePercent(t *testing.T) {
	t.Parallel()
	classes := newTimeClasses()
	require.True(t, slices.IsSorted(classes.bounds))
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(math.Pow(10, rapid.Float64Range(3, math.Log10(float64(longestTime))).Draw(t, "log ns")))
		us := d.Microseconds()
		got := classes.middle(classes.class(us))
		exact := time.Duration(us) * time.Microsecond
		bound := max(time.Duration(float64(exact)*0.05), 500*time.Microsecond)
		require.InDelta(t, float64(exact), float64(got), float64(bound)+float64(time.Microsecond))
	})
}

func TestPostgresMakesTheSamePercentilesOfTimes(t *testing.T) {
	t.Parallel()
	const query = `SELECT time_to_deliver_ms($1::int[], $2)`
	pool, classes := testdb.New(t), newTimeClasses()
	check := func(rt require.TestingT, counts []int64, percent int64) {
		var got *float64
		require.NoError(rt, pool.QueryRow(t.Context(), query, counts, percent).Scan(&got))
		want := classes.quantile(counts, percent)
		if want == 0 {
			require.Nil(rt, got)
			return
		}
		require.NotNil(rt, got)
		require.InDelta(rt, float64(want.Microseconds())/1000, *got, 0)
	}
	for class := range classes.bounds {
		counts := make([]int64, class+1)
		counts[class] = 1
		check(t, counts, 50)
	}
	rapid.Check(t, func(rt *rapid.T) {
		counts := rapid.SliceOfN(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 1<<31-1)), 0, len(classes.bounds)).Draw(rt, "counts")
		check(rt, counts, rapid.Int64Range(1, 100).Draw(rt, "percent"))
	})
}

func TestTimesOfAnyLengthHaveAClass(t *testing.T) {
	t.Parallel()
	classes := newTimeClasses()
	require.Zero(t, classes.class(0))
	require.Zero(t, classes.class(1000))
	require.Equal(t, 1, classes.class(1001))
	require.Equal(t, len(classes.bounds)-1, classes.class(math.MaxInt64))
}

// Counts by class are stored: the classes are for ever.
func TestClassesOfTimesStayTheSame(t *testing.T) {
	t.Parallel()
	classes := newTimeClasses()
	for want, d := range map[int]time.Duration{0: time.Millisecond, 47: 100 * time.Millisecond, 70: time.Second, 110: time.Minute, 183: 24 * time.Hour} {
		require.Equal(t, want, classes.class(d.Microseconds()), d)
	}
}

func TestAQuantileIsTheDurationOfItsRank(t *testing.T) {
	t.Parallel()
	classes := newTimeClasses()
	require.Zero(t, classes.quantile(nil, 50))
	require.Zero(t, classes.quantile([]int64{0, 0}, 50))
	rapid.Check(t, func(t *rapid.T) {
		counts := make([]int64, len(classes.bounds))
		numbers := rapid.SliceOfN(rapid.IntRange(0, len(counts)-1), 1, 300).Draw(t, "classes")
		slices.Sort(numbers)
		for _, n := range numbers {
			counts[n]++
		}
		for _, percent := range []int64{50, 95, 99} {
			rank := int(math.Ceil(float64(len(numbers)) * float64(percent) / 100))
			require.Equal(t, classes.middle(numbers[rank-1]), classes.quantile(counts, percent))
		}
	})
}
