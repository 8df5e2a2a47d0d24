# SPDX-License-Identifier: MIT
"""Which kernel is meant, of those that an archive offers."""

import pytest

from vnpu.artifacts import debian, settings
from vnpu.artifacts.kernel import choice, lanes, versions
from vnpu.artifacts.sites import choose
from vnpu.base.errors import SetupError

#: what the suites of an imagined archive have
OFFERED = {
    "bookworm-security": ["6.1.0-53-amd64", "6.12.9+deb12-amd64", "6.12.117+deb12-amd64"],
    "bookworm-backports": ["6.12.115+deb12-amd64", "6.12-amd64", "6.12.117+deb12-rt-amd64"],
    "trixie": ["6.12.43+deb13-amd64", "6.12.43+deb13-cloud-amd64"],
    "trixie-security": ["6.12.120+deb13-amd64"],
    "trixie-backports": ["6.19.14+deb13-amd64", "7.2.12+deb13-amd64", "7.2.9+deb13-amd64"],
    "sid": ["7.3.4-amd64", "7.3.4-rt-amd64"],
}


@pytest.fixture
def archive(monkeypatch):
    class Archive(debian.Archive):
        def __init__(self, *suites):
            self.suites = suites

        def _query(self, *argv):
            assert argv == ("pkgnames",)
            names = [name for suite in self.suites for name in OFFERED[suite]]
            return [f"linux-image-{name}" for name in names] + ["linux-image-amd64", "bash"]

    monkeypatch.setattr(debian, "Archive", Archive)
    monkeypatch.setenv("KERNEL_VERSION", "")
    monkeypatch.setenv("VNPU_CONFIG", "/dev/null")

    def on(release):
        monkeypatch.setattr(versions, "codename", lambda: release)

    on("bookworm")
    return on


@pytest.mark.parametrize(
    ("host", "wanted", "name", "suite"),
    [
        ("bookworm", "", "6.12.117+deb12-amd64", "bookworm-security"),
        ("trixie", "", "6.12.120+deb13-amd64", "trixie-security"),
        ("sid", "", "6.12.120+deb13-amd64", "trixie-security"),
        ("noble", "", "6.12.120+deb13-amd64", "trixie-security"),
        ("bookworm", "newest", "6.12.117+deb12-amd64", "bookworm-security"),
        ("trixie", "newest", "7.2.12+deb13-amd64", "trixie-backports"),
        ("sid", "newest", "7.3.4-amd64", "sid"),
        ("bookworm", "6.12.9", "6.12.9+deb12-amd64", "bookworm-security"),
        ("bookworm", "6.12.43", "6.12.43+deb13-amd64", "trixie"),
        ("bookworm", "7.2", "7.2.12+deb13-amd64", "trixie-backports"),
        ("bookworm", "7.2.9+deb13-amd64", "7.2.9+deb13-amd64", "trixie-backports"),
        ("bookworm", "7", "7.2.12+deb13-amd64", "trixie-backports"),
        ("trixie", "7.3", "7.3.4-amd64", "sid"),
    ],
)
def test_kernel_that_is_meant(archive, host, wanted, name, suite):
    archive(host)
    found = versions.find(wanted)
    assert found.name == name
    assert suite in found.archive.suites


@pytest.mark.parametrize("wanted", ["6.1", "6.12.11", "6.1.0-53-amd64", "9.9", "nonsense"])
def test_kernel_that_is_not_there(archive, wanted):
    """Too old for the driver, never released, or no version; 6.12.11 is not 6.12.117."""
    with pytest.raises(SetupError, match=rf"no suite .* has a kernel {wanted}"):
        versions.find(wanted)


def test_variable_and_configuration(archive, monkeypatch, tmp_path):
    config = tmp_path / "config"
    config.write_text('CONFIG_VNPU_KERNEL_VERSION="7.2"\nCONFIG_VNPU_LANE="debug"\n')
    monkeypatch.setenv("VNPU_CONFIG", str(config))
    monkeypatch.delenv("LANE", raising=False)
    monkeypatch.delenv("KDIR", raising=False)
    assert versions.find().name == "7.2.12+deb13-amd64"
    assert choice.lane_of_environment() == "debug"
    monkeypatch.setenv("KERNEL_VERSION", "6.12.9")
    assert versions.find().name == "6.12.9+deb12-amd64"
    monkeypatch.setenv("LANE", "stock")
    assert choice.lane_of_environment() == "stock"


def test_version_is_for_the_stock_lane(monkeypatch):
    monkeypatch.setenv("KERNEL_VERSION", "7.3")
    monkeypatch.delenv("KERNEL", raising=False)
    with pytest.raises(SetupError, match="the lane is debug"):
        lanes.ensure("debug")


def test_versions_sort_as_dpkg_does():
    """A tilde comes before the end, which no comparison of numbers knows."""
    rising = ["10.0~rc1", "10.0.2~bpo12+1", "10.0.2", "10.0.2+ds-1", "10.0.13+ds-0+deb13u1"]
    assert sorted(reversed(rising), key=debian.NativeVersion) == rising


def test_the_archive_is_the_site_with_most_suites():
    def uri(site, suite):
        return f"'{site}/dists/{suite}/InRelease' list_name 0"

    sites = choose(
        [
            uri("https://other.example/linux/debian", "bookworm"),
            uri("http://a.example/debian", "bookworm"),
            uri("http://a.example/debian", "bookworm-updates"),
            uri("http://s.example/debian-security", "bookworm-security"),
            "some other line",
        ]
    )
    assert sites.main == "http://a.example/debian"
    assert sites.of("sid") == sites.main
    assert sites.of("trixie-security") == "http://s.example/debian-security"
    with pytest.raises(SetupError, match="no Debian archive"):
        choose([uri("https://other.example", "nodistro")])


def test_settings_of_the_driver(monkeypatch, tmp_path):
    config = tmp_path / "config"
    config.write_text(
        "CONFIG_DRM_ACCEL_VNPU=m\nCONFIG_DRM_ACCEL_VNPU_KUNIT_TEST=m\n"
        "CONFIG_DRM_ACCEL_VNPU_SOME=y\n# CONFIG_DRM_ACCEL_VNPU_OTHER is not set\n"
        "CONFIG_VNPU_VRAM=64\n"
    )
    monkeypatch.setenv("VNPU_CONFIG", str(config))
    assert settings.driver_options() == ["CONFIG_DRM_ACCEL_VNPU_SOME=y"]
    assert settings.number("VNPU_VRAM", 256) == 64
    assert settings.number("VNPU_CPUS", 1) == 1
