from __future__ import annotations

import datetime
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from bqngui.certificate import Certificate, for_gui, tls_context
from bqngui.settings import GuiSettings
from configrepo.model import ServerId
from scheduler.errors import SettingsError
from tests.bqngui.conftest import OpenSite
from tests.support.site import Site


def settings(folder: Path, **more: Path | str) -> GuiSettings:
    return GuiSettings(ServerId(3), folder, **more)  # type: ignore[arg-type]


def test_the_first_start_makes_a_certificate_and_keeps_it(tmp_path: Path) -> None:
    made = for_gui(settings(tmp_path, address="192.0.2.7"))
    assert made == for_gui(settings(tmp_path))
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
    read = x509.load_pem_x509_certificate(made.certificate.read_bytes())
    assert read.not_valid_before_utc == datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    assert read.not_valid_after_utc.year == 9999
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(a) for a in names.get_values_for_type(x509.IPAddress)}
    assert {"192.0.2.7", "127.0.0.1"} <= addresses
    assert not read.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert made.fingerprint.startswith("SHA256:")
    assert len(made.fingerprint) == len("SHA256:") + 32 * 3 - 1


def test_a_lost_key_is_replaced_together_with_its_certificate(tmp_path: Path) -> None:
    before = for_gui(settings(tmp_path))
    before.key.unlink()
    after = for_gui(settings(tmp_path))
    assert after.fingerprint != before.fingerprint
    tls_context(after)


def test_an_own_certificate_is_used_and_browsers_are_told_to_insist(
    tmp_path: Path, open_site: OpenSite
) -> None:
    made = for_gui(settings(tmp_path))
    own = for_gui(settings(tmp_path, certificate=made.certificate, key=made.key))
    assert own == made
    site: Site = open_site(certificate=made.certificate, key=made.key)
    answer = site.visitor().get("/login")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_certificate_and_key_may_be_in_one_file(tmp_path: Path) -> None:
    made = for_gui(settings(tmp_path))
    both = tmp_path / "both.pem"
    both.write_bytes(made.key.read_bytes() + made.certificate.read_bytes())
    tls_context(for_gui(settings(tmp_path, certificate=both)))


def test_unusable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"missing\.pem cannot be read"):
        for_gui(settings(tmp_path, certificate=tmp_path / "missing.pem"))
    made = for_gui(settings(tmp_path))
    other = tmp_path / "other"
    other.mkdir()
    foreign_key = for_gui(settings(other)).key
    with pytest.raises(SettingsError, match="cannot be used"):
        tls_context(Certificate(made.certificate, foreign_key, made.fingerprint))


def test_old_protocols_are_not_spoken(tmp_path: Path) -> None:
    assert tls_context(for_gui(settings(tmp_path))).minimum_version is ssl.TLSVersion.TLSv1_2
