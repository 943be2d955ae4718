package browser_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/chromedp/chromedp"
)

// hover moves the pointer to a place within an element; a negative x counts from
// the right.
func hover(selector string, x, y float64) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		box, err := chromedp.Evaluate[[]float64](fmt.Sprintf(`(() => {
			const el = document.querySelector(%q);
			el.scrollIntoView({ block: "center" });
			const { left, top, right } = el.getBoundingClientRect();
			return [left, top, right];
		})()`, selector))(ctx, t)
		if err != nil {
			return err
		}
		at := box[0] + x
		if x < 0 {
			at = box[2] + x
		}
		_, err = chromedp.MouseEvent(chromedp.MouseMoved, at, box[1]+y)(ctx, t)
		return err
	})
}

func jsonOf(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(data)
}
