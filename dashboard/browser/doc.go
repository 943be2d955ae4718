// Package browser tests the page of package dashboard in a real browser: a
// Chromium without a window, which is driven over its debugging protocol. It is
// a module of its own, since the library has no dependencies.
//
// The tests need Chromium, or Chrome, where the PATH finds it; on Debian
//
//	apt-get install -y chromium
//
// gets it. Without one they are skipped, unless CI is set to true.
//
//	go test ./...
//	go test -short ./...    without those under load
//
// They are of the real clock, since a browser is. So they never sleep to let
// something happen, but look until it has; and what must not happen they have
// happen elsewhere, in a second tab for example, before they look. Whatever
// takes so long that it seems to have failed takes a multiple of what a busy
// machine needs.
//
// Each tab also fails its test by whatever goes wrong on the page: an error on
// the console, an exception, a violation of the content security policy, a
// request to another place, or a dialog.
//
// Where ANTFLOW_SCREENSHOTS names a directory, TestScreenshots writes what each
// view looks like into it: on a phone and on a desktop, light and dark. The
// pictures of the documentation are made by
//
//	ANTFLOW_DOCS_SCREENSHOTS=../../docs go test -trimpath -run=TestDocsScreenshots .
package browser
