"""Choosing the executor that the configuration names; the other one's libraries are not loaded."""

from edge_agent.data_folder import DataFolder
from edge_agent.execution.executor import Executor
from edge_agent.execution.install_settings import InstallSettings
from edge_agent.settings import AgentSettings


def make_executor(settings: AgentSettings, folder: DataFolder) -> Executor:
    """The executor for this edge's tasks."""
    install = install_settings(settings)
    if settings.executor == "process":
        from edge_agent.execution.process_executor import ProcessExecutor  # noqa: PLC0415 - see above

        return ProcessExecutor(folder.tasks, folder.environments, install)
    from edge_agent.execution.docker_executor import DockerExecutor  # noqa: PLC0415

    return DockerExecutor(
        edge=settings.edge, tasks=folder.tasks, environments=folder.environments, image=settings.image, install=install
    )


def install_settings(settings: AgentSettings) -> InstallSettings:
    """How this edge installs requirements."""
    mib = 1024 * 1024
    return InstallSettings(
        **settings.install.model_dump(),
        environments_bytes=settings.environments_mb * mib,
        reserve_bytes=settings.disk_reserve_mb * mib,
    )
