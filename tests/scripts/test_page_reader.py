"""Pages are read as a browser without JavaScript would read them."""

from __future__ import annotations

from scripts.page_reader import forms_of, read_page

PAGE = """
<!doctype html><html><head><title>not seen</title></head><body>
<form id="edit" method="post" action="/save">
  <input type="hidden" name="csrf_token" value="t&amp;1">
  <input name="name" value="BQN 0"><input type="file" name="upload">
  <input type="radio" name="take:a|b" value="cluster"><input type="radio" name="take:a|b"
    value="joiner" checked>
  <input type="checkbox" name="sure" value="yes">
  <select name="role"><option value="viewer">V</option><option selected>operator</option></select>
  <textarea name="text">
policy rate x
 uplink rate 1</textarea>
  <input name="off" value="1" disabled>
  <button name="action" value="save">Save <b>all</b></button>
</form>
<input form="edit" name="outside" value="in">
<p class="one two">Seen <span>to</span>gether<br>and apart</p>
</body></html>
"""


def test_a_form_has_the_values_that_a_browser_would_send() -> None:
    (form,) = forms_of(read_page(PAGE))
    assert (form.action, form.method) == ("/save", "post")
    assert form.fields == (
        ("csrf_token", "t&1"),
        ("name", "BQN 0"),
        ("take:a|b", "joiner"),
        ("role", "operator"),
        ("text", "policy rate x\n uplink rate 1"),
        ("outside", "in"),
    )
    assert form.choices["take:a|b"] == ("cluster", "joiner")
    assert form.choices["role"] == ("viewer", "operator")
    assert "sure" in form.names
    assert "off" not in form.names
    assert [(b.label, b.name, b.value) for b in form.buttons] == [("Save all", "action", "save")]


def test_the_text_is_what_a_person_sees() -> None:
    page = read_page(PAGE)
    (paragraph,) = page.find_all("p", "two")
    assert paragraph.text == "Seen together and apart"
    assert "not seen" not in page.text


def test_elements_are_found_by_tag_class_and_attribute() -> None:
    page = read_page('<dl><div><dt aria-label="x">A</dt><dd>B</dd></div></dl>')
    assert [e.text for e in page.find_all("dt", aria_label="x")] == ["A"]
    assert page.find_all("dt", "missing") == []


def test_an_element_that_is_never_closed_does_not_swallow_the_page() -> None:
    page = read_page("<div><p>one<p>two</div><p>three")
    assert page.text == "one two three"
