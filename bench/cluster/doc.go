// Package clusterbench measures the cluster beside other task queues, and beside
// what JetStream does without it. [Rows] is the table; the command in
// ../cmd/cluster runs it:
//
//	go run ./bench/cmd/cluster
//
// It is apart from package bench since its contenders are systems of several
// programs. Each is opened anew for each measurement, with an empty folder of
// its own, and servers listen on loopback addresses or on a socket in that
// folder only. What a contender started ends with it, and with this process even
// when that is killed.
//
// All do the same work: a task is an int, its handler doubles it, eight handlers
// run at a time, and each result comes back to whoever submitted the task.
// Results are checked, all of them.
//
// A program that uses this package calls [Child] first, since processes that the
// contenders need are this program again.
package clusterbench
