package antflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/antflow/antflow"
)

// shout is a task: a function with the name that all processes know it by, and
// options that all of its calls have.
var shout = antflow.NewTask("shout", func(ctx context.Context, text string) (string, error) {
	if text == "" {
		return "", antflow.Permanent(errors.New("nothing to shout"))
	}
	return strings.ToUpper(text) + "!", nil
}, antflow.Retries(2), antflow.Timeout(time.Second))

// choice is a runner that chooses between two executors: what is urgent does not
// wait behind what is not.
type choice struct{ express, regular *antflow.Executor }

func (c choice) RunCall(ctx context.Context, call antflow.Call) antflow.Waitable {
	if call.Settings().Priority > 0 {
		return c.express.RunCall(ctx, call)
	}
	return c.regular.RunCall(ctx, call)
}

func ExampleRunner() {
	ctx := context.Background()
	express := antflow.New(1, antflow.ExecutorName("express"))
	defer express.Close()
	regular := antflow.New(4, antflow.ExecutorName("regular"))
	defer regular.Close()

	where := antflow.NewTask("where", func(ctx context.Context, what string) (string, error) {
		info, _ := antflow.TaskFrom(ctx)
		return what + " by " + info.Executor, nil
	})
	r := choice{express, regular}
	letter := where.Submit(ctx, r, "letter")
	medicine := where.Submit(ctx, r, "medicine", antflow.Priority(1))
	fmt.Println(letter.Result(ctx))
	fmt.Println(medicine.Result(ctx))
	// Output:
	// letter by regular <nil>
	// medicine by express <nil>
}

func ExampleNewTask() {
	ctx := context.Background()
	e := antflow.New(8)
	defer e.Close()

	type resize struct {
		File  string
		Width int
	}
	thumbnail := antflow.NewTask("thumbnail", func(ctx context.Context, in resize) (string, error) {
		return fmt.Sprintf("%s at %d pixels", in.File, in.Width), nil
	}, antflow.Retries(3))

	f := thumbnail.Submit(ctx, e, resize{"cat.jpg", 160})
	text, err := f.Result(ctx)
	fmt.Println(text, err)
	fmt.Println(f)
	// Output:
	// cat.jpg at 160 pixels <nil>
	// task 0 "thumbnail" succeeded
}

func ExampleTask_Submit() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	// The call's own options win over the task's.
	loud := shout.Submit(ctx, e, "fire", antflow.Priority(10))
	quiet := shout.Submit(ctx, e, "")
	fmt.Println(loud.Result(ctx))
	_, err := quiet.Result(ctx)
	fmt.Println(err)
	// Output:
	// FIRE! <nil>
	// nothing to shout
}

func ExampleTask_Map() {
	ctx := context.Background()
	var r antflow.Runner = antflow.New(2) // or whatever else runs tasks

	for text, err := range shout.Map(ctx, r, slices.Values([]string{"a", "", "c"})) {
		fmt.Printf("%q %v\n", text, err)
	}
	// Output:
	// "A!" <nil>
	// "" antflow: item 1: nothing to shout
	// "C!" <nil>
}

func ExampleTask_MapUnordered() {
	ctx := context.Background()
	e := antflow.New(2)
	defer e.Close()

	total := 0
	for item, err := range shout.MapUnordered(ctx, e, slices.Values([]string{"tea", "coffee"})) {
		if err == nil {
			total += len(item.Input) // in whichever order they come
		}
	}
	fmt.Println(total, "letters shouted")
	// Output: 9 letters shouted
}

func ExampleTask_Name() {
	fmt.Println(shout.Name())
	// Output: shout
}

func ExampleTask_Options() {
	s := antflow.SettingsOf(shout.Options(), antflow.Retries(0))
	fmt.Println(s.Name, s.Retries, s.Timeout)
	// Output: shout 0 1s
}

func ExampleTask_Invoke() {
	// What a process does that got the call of a task from somewhere.
	tasks := map[string]interface {
		Invoke(ctx context.Context, decode func(in any) error) (any, error)
	}{shout.Name(): shout}

	serve := func(task, input string) (string, error) {
		out, err := tasks[task].Invoke(context.Background(), func(in any) error {
			return json.Unmarshal([]byte(input), in)
		})
		if err != nil {
			return "", err
		}
		answer, err := json.Marshal(out)
		return string(answer), err
	}
	fmt.Println(serve("shout", `"hello"`))
	_, err := serve("shout", `{"hello"`)
	fmt.Println(err)
	// Output:
	// "HELLO!" <nil>
	// unexpected end of JSON input
}

func ExampleKey() {
	// A runner that keeps results knows a call again by its key.
	known := make(map[string]string)
	remember := func(ctx context.Context, call antflow.Call) {
		key := call.Task() + "/" + call.Settings().Key
		if _, ok := known[key]; ok {
			fmt.Println(key, "is known")
		}
		known[key] = fmt.Sprint(call.Input())
	}
	e := antflow.New(1)
	defer e.Close()
	r := watched{e, remember}

	ctx := context.Background()
	shout.Submit(ctx, r, "order 17 has come", antflow.Key("order-17"))
	shout.Submit(ctx, r, "order 17 has come", antflow.Key("order-17"))
	for range shout.Map(ctx, r, orders(2), antflow.Key("orders")) {
	}
	fmt.Println(known["shout/orders/1"])
	// Output:
	// shout/order-17 is known
	// order 1
}

func orders(n int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := 0; i < n && yield(fmt.Sprint("order ", i)); i++ {
		}
	}
}

// watched is a runner that lets somebody look at each call on its way.
type watched struct {
	to   antflow.Runner
	look func(context.Context, antflow.Call)
}

func (w watched) RunCall(ctx context.Context, call antflow.Call) antflow.Waitable {
	w.look(ctx, call)
	return w.to.RunCall(ctx, call)
}

func ExampleQueue() {
	// A runner with a queue for each kind of machine.
	queues := map[string]*antflow.Executor{
		"":    antflow.New(8, antflow.ExecutorName("any machine")),
		"gpu": antflow.New(1, antflow.ExecutorName("a machine with a graphics card")),
	}
	ctx := context.Background()
	where := antflow.NewTask("where", func(ctx context.Context, what string) (string, error) {
		info, _ := antflow.TaskFrom(ctx)
		return what + " on " + info.Executor, nil
	})
	r := queued(queues)
	fmt.Println(where.Submit(ctx, r, "mail").Result(ctx))
	fmt.Println(where.Submit(ctx, r, "film", antflow.Queue("gpu")).Result(ctx))
	// Output:
	// mail on any machine <nil>
	// film on a machine with a graphics card <nil>
}

type queued map[string]*antflow.Executor

func (q queued) RunCall(ctx context.Context, call antflow.Call) antflow.Waitable {
	return q[call.Settings().Queue].RunCall(ctx, call)
}

func ExampleExecutor_RunCall() {
	e := antflow.New(1)
	defer e.Close()

	// A runner that counts what it hands on.
	calls := 0
	r := watched{e, func(context.Context, antflow.Call) { calls++ }}
	ctx := context.Background()
	for range shout.Map(ctx, r, orders(3)) {
	}
	fmt.Println(calls, "calls")
	// Output: 3 calls
}

// somewhere is a runner whose calls run outside of every executor: the books of
// them are kept by one that runs nothing.
type somewhere struct{ books *antflow.Executor }

func (s somewhere) RunCall(ctx context.Context, call antflow.Call) antflow.Waitable {
	text, _ := call.Input().(string)
	canceled := make(chan struct{})
	remote := call.Remote(ctx, s.books, func() { close(canceled) })
	if remote.Future().IsDone() {
		return remote.Future() // it was refused
	}
	go func() { // or a message, and another one that comes back
		remote.Started(1)
		select {
		case <-canceled:
			remote.Settle(antflow.RemoteEnd{Canceled: true, Attempts: 1})
		case <-time.After(time.Millisecond):
			remote.Settle(antflow.RemoteEnd{Attempts: 1, Decode: func(out any) error {
				*out.(*string) = "echo of " + text
				return nil
			}})
		}
	}()
	return remote.Future()
}

func ExampleRemote() {
	ctx := context.Background()
	books := antflow.New(1, antflow.ExecutorName("somewhere"))
	r := somewhere{books}

	f := shout.Submit(ctx, r, "hello")
	gone := shout.Submit(ctx, r, "hello?")
	gone.Cancel()
	fmt.Println(f.Result(ctx))
	_, err := gone.Result(ctx)
	fmt.Println(err)
	books.Close() // waits for what runs there
	s := books.Stats()
	fmt.Println(s.Succeeded, "succeeded,", s.Canceled, "canceled")
	// Output:
	// echo of hello <nil>
	// antflow: canceled
	// 1 succeeded, 1 canceled
}
