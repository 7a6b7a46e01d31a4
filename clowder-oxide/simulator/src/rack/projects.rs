//! Projects, each with a VPC of its own.

use super::{Rack, row};
use crate::answer::Answer;
use crate::page::page;
use crate::refusal::Refusal;
use crate::request::Request;
use oxide::types;

impl Rack {
    pub(super) fn project_list(&self, request: &Request) -> Result<Answer, Refusal> {
        page(request, self.projects.iter().map(|project| row(project, project)))
    }

    pub(super) fn project_view(&self, request: &Request) -> Result<Answer, Refusal> {
        let id = self.find_project(&request.path("project")?)?;
        Answer::ok(self.projects.get(id)?)
    }

    pub(super) fn project_create(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let asked: types::ProjectCreate = request.body()?;
        let project = self.make_project(asked.name, asked.description)?;
        Answer::created(&project)
    }

    pub(super) fn make_project(&mut self, name: types::Name, description: String) -> Result<types::Project, Refusal> {
        let now = self.now();
        let project = types::Project { description, id: self.ids.next(), name, time_created: now, time_modified: now };
        self.projects.insert(project.clone())?;
        self.make_default_vpc(project.id)?;
        Ok(project)
    }
}
